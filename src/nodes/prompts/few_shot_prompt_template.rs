//! Flowise `fewShotPromptTemplate`, version 1: examples between two texts.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{TextPrompt, value_text};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::rich_text::RichText;
use crate::spec::{Kind, NodeSpec, Param};
use crate::template::Template;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "fewShotPromptTemplate",
    category: "Prompts",
    version: 1.0,
    about: "A prompt of examples, with a text before and one after them.",
    params: &[
        Param::open("examples", Kind::Json),
        Param::closed("examplePrompt", Kind::Node),
        Param::open("prefix", Kind::Template),
        Param::open("suffix", Kind::Template),
        Param::open("exampleSeparator", Kind::Text),
        Param::open("templateFormat", Kind::Choice(&["f-string", "jinja-2"])),
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    refuse_jinja(inputs)?;
    let example_prompt = match inputs.node("examplePrompt") {
        Some(Instance::Prompt(prompt)) => prompt,
        other => return Err(inputs.wrong_node("examplePrompt", "a prompt template", other)),
    };
    let mut parts = Vec::new();
    parts.extend(inputs.rich("prefix").map(|text| Template::parse(&text)));
    for example in examples(inputs)? {
        let text = format_example(inputs, example_prompt, &example)?;
        // An example is data by now: a brace in it is only a brace.
        parts.push(Template::parse(&RichText::data(text)));
    }
    parts.push(Template::parse(&inputs.rich("suffix").unwrap_or_default()));

    let separator = inputs.text("exampleSeparator");
    let separator = separator.as_deref().unwrap_or("\n\n");
    let template = parts.into_iter().reduce(|all, part| all.join(separator, part));
    let template = template.unwrap_or_default();
    Ok(Instance::Prompt(Arc::new(TextPrompt { template, values: Map::new() })))
}

fn refuse_jinja(inputs: &Inputs) -> Result<(), NodeError> {
    match inputs.text("templateFormat").as_deref() {
        None | Some("f-string") => Ok(()),
        Some(format) => Err(NodeError::Unsupported(format!(
            "{} ({}): templateFormat {format} is not supported; choose f-string and write \
             variables in single braces",
            inputs.label, inputs.id
        ))),
    }
}

/// `examples`: a JSON array of objects.
fn examples(inputs: &Inputs) -> Result<Vec<Map<String, Value>>, NodeError> {
    let wrong = || inputs.bad("examples", "must be a JSON array of objects");
    match inputs.json("examples")? {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(example) => Ok(example),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn format_example(
    inputs: &Inputs,
    prompt: &TextPrompt,
    example: &Map<String, Value>,
) -> Result<String, NodeError> {
    let value = |name: &str| example.get(name).or_else(|| prompt.values.get(name));
    prompt.template.format(|name| value(name).and_then(value_text)).map_err(|name| {
        inputs.bad("examples", format!("must give {name} in every example; add it"))
    })
}

#[cfg(test)]
mod tests {
    use parlor_schemas::ErrorCode;

    use super::*;
    use crate::inputs::InputValue;
    use crate::test_support::{build, build_error, node, source};

    const EXAMPLES: &str = r#"[{"word":"happy","antonym":"sad"},{"word":"{x}","antonym":"{{y"}]"#;

    fn example_prompt(template: &str) -> InputValue {
        let template = Template::parse(&RichText::source(template));
        node(Instance::Prompt(Arc::new(TextPrompt { template, values: Map::new() })))
    }

    fn formatted(instance: &Instance) -> String {
        let Instance::Prompt(prompt) = instance else { panic!("{}", instance.kind()) };
        assert_eq!(prompt.template.variables(), ["input"]);
        prompt.template.format(|_| Some("big")).unwrap()
    }

    #[test]
    fn prefix_examples_and_suffix_are_joined_by_the_separator() {
        for (prefix, separator, expected) in [
            ("Go:", "", "Go:\n\nhappy: sad\n\n{x}: {{y\n\nWord: big"),
            ("", "--", "happy: sad--{x}: {{y--Word: big"),
        ] {
            let prompt = build(
                &SPEC,
                [
                    ("examples", source(EXAMPLES)),
                    ("examplePrompt", example_prompt("{word}: {antonym}")),
                    ("prefix", source(prefix)),
                    ("suffix", source("Word: {input}")),
                    ("exampleSeparator", source(separator)),
                    ("templateFormat", source("f-string")),
                ],
            );

            assert_eq!(formatted(&prompt), expected);
        }
    }

    #[test]
    fn a_backslash_and_an_n_stay_as_typed() {
        let prompt = build(
            &SPEC,
            [
                ("examplePrompt", example_prompt("")),
                ("prefix", source(r"All:\n")),
                ("suffix", source(r"Word: {input}\nAntonym:")),
                ("exampleSeparator", source(r"\n\n")),
            ],
        );

        assert_eq!(formatted(&prompt), r"All:\n\n\nWord: big\nAntonym:");
    }

    #[test]
    fn wrong_examples_are_refused_by_name() {
        for (examples, word) in
            [("{}", "array"), ("[1]", "array"), ("[{\"word\":\"a\"}]", "antonym"), ("[", "JSON")]
        {
            let error = build_error(
                &SPEC,
                [
                    ("examples", source(examples)),
                    ("examplePrompt", example_prompt("{word}: {antonym}")),
                ],
            );

            let message = error.to_string();
            assert!(message.contains("examples") && message.contains(word), "{message}");
        }
    }

    #[test]
    fn jinja_is_refused_and_an_example_prompt_is_required() {
        let jinja = build_error(&SPEC, [("templateFormat", source("jinja-2"))]);
        let alone = build_error(&SPEC, [("suffix", source("{input}"))]);

        assert_eq!(jinja.code(), ErrorCode::UnsupportedNode);
        assert!(alone.to_string().contains("examplePrompt is not connected"), "{alone}");
    }
}
