//! Flowise `chatPromptTemplate`, versions 1 and 2: a system and a user message.

use std::sync::Arc;

use super::ChatPrompt;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::model::Speaker;
use crate::spec::{Kind, NodeSpec, Param};
use crate::template::Template;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatPromptTemplate",
    category: "Prompts",
    version: 2.0,
    about: "A prompt of a system message and a user message with variables in single braces.",
    params: &[
        Param::open("systemMessagePrompt", Kind::Template),
        Param::open("humanMessagePrompt", Kind::Template),
        Param::open("promptValues", Kind::Json),
        // The name of a tab of Flowise's editor; the code stands in the other one.
        Param::closed("messageHistory", Kind::Text),
        Param::closed("messageHistoryCode", Kind::Text),
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    refuse_code(inputs)?;
    let mut messages = Vec::with_capacity(2);
    // Providers refuse a system message without words.
    if let Some(text) = inputs.rich("systemMessagePrompt") {
        messages.push((Speaker::System, Template::parse(&text)));
    }
    let text = inputs.rich("humanMessagePrompt").unwrap_or_default();
    messages.push((Speaker::User, Template::parse(&text)));
    let values = inputs.object("promptValues")?;
    Ok(Instance::ChatPrompt(Arc::new(ChatPrompt { messages, values })))
}

fn refuse_code(inputs: &Inputs) -> Result<(), NodeError> {
    match inputs.text("messageHistoryCode") {
        Some(code) if !code.trim().is_empty() => Err(NodeError::Unsupported(format!(
            "{} ({}): messageHistoryCode holds JavaScript, which Parlor does not run; \
             clear it to use the prompt without those messages",
            inputs.label, inputs.id
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::ErrorCode;

    use super::*;
    use crate::test_support::{build, build_error, source};

    fn speakers(instance: &Instance) -> Vec<Speaker> {
        match instance {
            Instance::ChatPrompt(prompt) => {
                prompt.messages.iter().map(|(speaker, _)| *speaker).collect()
            }
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn an_empty_system_message_is_left_out_and_the_user_message_stays() {
        let both = build(
            &SPEC,
            [
                ("systemMessagePrompt", source("Be brief.")),
                ("humanMessagePrompt", source("{text}")),
                ("messageHistory", source("messageHistoryCode")),
            ],
        );
        let one = build(&SPEC, [("systemMessagePrompt", source(""))]);

        assert_eq!(speakers(&both), [Speaker::System, Speaker::User]);
        assert_eq!(speakers(&one), [Speaker::User]);
    }

    #[test]
    fn javascript_is_refused_with_the_way_out() {
        let error = build_error(&SPEC, [("messageHistoryCode", source("return []"))]);

        assert_eq!(error.code(), ErrorCode::UnsupportedNode);
        let message = error.to_string();
        assert!(message.contains("messageHistoryCode") && message.contains("clear"), "{message}");
        build(&SPEC, [("messageHistoryCode", source(" \n"))]);
    }
}
