//! What the chains over documents share: documents as text of a prompt, and
//! the passages behind an answer.

use parlor_schemas::StreamEvent;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::RunOutput;
use crate::model::{ModelMessage, Part, Speaker};
use crate::retrieval::Document;
use crate::template::Template;

/// The documents as the conversational chain shows them to a model, recorded:
/// `<doc id='0'>...</doc>`, one a line.
pub(super) fn numbered(documents: &[Document]) -> String {
    let mut text = String::new();
    for (at, Document { page_content, .. }) in documents.iter().enumerate() {
        let gap = if at == 0 { "" } else { "\n" };
        text.push_str(&format!("{gap}<doc id='{at}'>{page_content}</doc>"));
    }
    text
}

/// The documents with a blank line between them.
pub(super) fn stuffed(documents: &[Document]) -> String {
    let texts: Vec<_> = documents.iter().map(|document| document.page_content.as_str()).collect();
    texts.join("\n\n")
}

/// A prompt that answers a question from passages.
pub(super) struct Prompt {
    template: Template,
    /// The input that it comes from, for errors.
    input: &'static str,
}

impl Prompt {
    pub(super) fn new(input: &'static str, template: Template) -> Self {
        Self { template, input }
    }

    /// The text with its variables replaced; values are data, whatever braces
    /// they hold.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] naming a variable that has no value here.
    pub(super) fn fill(&self, node: &str, values: &[(&str, &str)]) -> Result<String, NodeError> {
        let value = |name: &str| values.iter().find(|(own, _)| *own == name).map(|(_, text)| *text);
        self.template.format(value).map_err(|name| {
            let known: Vec<_> = values.iter().map(|(name, _)| format!("{{{name}}}")).collect();
            NodeError::BadInput {
                node: node.to_owned(),
                input: self.input.to_owned(),
                problem: format!(
                    "has no value for {{{name}}}; it can use {}, and {{{{ for a brace",
                    known.join(", ")
                ),
            }
        })
    }
}

/// Messages without their images, which these chains leave out (contract of
/// Flowise 2.2.8, section 6).
pub(super) fn words(mut messages: Vec<ModelMessage>) -> Vec<ModelMessage> {
    for message in &mut messages {
        message.parts.retain(|part| matches!(part, Part::Text(_)));
    }
    messages
}

/// A conversation as lines of `human: ...` and `ai: ...`, recorded.
pub(super) fn lines(messages: &[ModelMessage]) -> String {
    let line = |message: &ModelMessage| {
        let speaker = match message.speaker {
            Speaker::System => "system",
            Speaker::User => "human",
            Speaker::Assistant => "ai",
            Speaker::Tool => "tool",
        };
        format!("{speaker}: {}", message.plain())
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Whether the author, or the request, wants the passages behind an answer.
///
/// # Errors
/// [`NodeError::BadInput`] for a word that is neither true nor false.
pub(super) fn wants_sources(inputs: &Inputs) -> Result<bool, NodeError> {
    Ok(inputs.boolean("returnSourceDocuments")?.unwrap_or(false))
}

/// The answer with the passages behind it. A client that listens hears of them
/// after the last token, also when there are none (recorded).
///
/// # Errors
/// [`NodeError::Cancelled`] when the client left.
pub(super) async fn sourced(
    text: String,
    documents: &[Document],
    ctx: &TurnCtx,
    stream: bool,
) -> Result<RunOutput, NodeError> {
    // Texts and trees have no way to fail.
    let documents = serde_json::to_value(documents).unwrap_or_default();
    if stream {
        ctx.events.emit(StreamEvent::SourceDocuments(documents.clone())).await?;
    }
    let mut output = RunOutput::text(text);
    output.fields.insert("sourceDocuments".to_owned(), documents);
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rich_text::RichText;
    use crate::test_support::{assistant, image, system, user};

    #[test]
    fn documents_are_numbered_from_zero_or_stand_apart() {
        let documents = ["one {question}", "two"].map(|text| Document::new(text, <_>::default()));
        let shown = "<doc id='0'>one {question}</doc>\n<doc id='1'>two</doc>";
        assert_eq!(numbered(&documents), shown);
        assert_eq!(stuffed(&documents), "one {question}\n\ntwo");
        assert_eq!((numbered(&[]), stuffed(&[])), (String::new(), String::new()));
    }

    #[test]
    fn values_are_data_and_a_variable_without_one_is_named() {
        let prompt = |text: &str| Prompt::new("p", Template::parse(&RichText::source(text)));
        let values = [("a", "{b} {{$vars.x}}"), ("b", "B")];

        assert_eq!(prompt("{a} {b}").fill("N", &values).unwrap(), "{b} {{$vars.x}} B");
        let error = prompt("{c}").fill("N", &values).unwrap_err().to_string();
        assert_eq!(error, "N: p has no value for {c}; it can use {a}, {b}, and {{ for a brace");
    }

    #[test]
    fn a_conversation_becomes_lines_without_its_pictures() {
        let mut pictured = user("hi");
        pictured.parts.push(image("u"));

        let messages = words(vec![system("sum"), pictured, assistant("yo")]);

        assert_eq!(messages[1], user("hi"));
        assert_eq!(lines(&messages), "system: sum\nhuman: hi\nai: yo");
        assert_eq!(lines(&[]), "");
    }
}
