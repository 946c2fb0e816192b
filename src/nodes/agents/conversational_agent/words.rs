//! What the model is told of tools and of the form of its answers. The form,
//! `action` and `action_input` in a fenced block, is the one that LangChain's
//! conversational agents use and that models have met.

use crate::agents::toolbox::Toolbox;

/// Where the author left no system message.
pub(super) const DEFAULT_SYSTEM: &str = "You are a knowledgeable assistant who talks with a \
    person. You answer questions, explain, and discuss, in a natural way and to the point. You \
    use the tools that you are given where they help, and you say so when you do not know.";

/// Stands after every system message.
pub(super) const ABOVE_ALL: &str =
    " Above all, every answer of yours has the form that is described under FORM OF YOUR ANSWER.";

/// The model's words were not in the form asked for.
pub(super) const REMINDER: &str = "That was not in the form asked for. Answer again with one JSON \
    object in a fenced block, {\"action\": ..., \"action_input\": ...}, and nothing else. To answer \
    the person, the action is \"Final Answer\".";

const FORM: &str = r#"FORM OF YOUR ANSWER
-------------------
Answer with one JSON object in a fenced block, and with nothing else. There are two kinds.

To use a tool:

```json
{
    "action": "the tool's name",
    "action_input": "the tool's input, a text or an object"
}
```

To answer the person:

```json
{
    "action": "Final Answer",
    "action_input": "your answer, with \n for a new line"
}
```"#;

/// The tools, the form of an answer, and the person's words.
pub(super) fn task(toolbox: &Toolbox, question: &str) -> String {
    let tools = toolbox.definitions().map(|tool| {
        let properties = &tool.parameters["properties"];
        // A tool of one text needs no word about its arguments.
        if properties["input"].is_object() {
            format!("{}: {}\n", tool.name, tool.description)
        } else {
            format!("{}: {} Input, an object of: {properties}\n", tool.name, tool.description)
        }
    });
    let tools: String = tools.collect();
    format!(
        "TOOLS\n-----\nYou can use these tools, one at a time:\n\n{tools}\n{FORM}\n\n\
         THE PERSON'S WORDS\n------------------\n{question}"
    )
}

/// A tool's output on its way back to the model.
pub(super) fn result(output: &str) -> String {
    format!(
        "RESULT OF THE TOOL\n------------------\n{output}\n\nGo on in the same form, with another \
         tool or with the final answer. The person does not see this result, so tell what matters \
         of it without naming the tool."
    )
}
