//! Prompts: templates with the values that the author gave.

mod fill;

mod chat_prompt_template;
mod few_shot_prompt_template;
mod prompt_template;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::error::NodeError;
use crate::model::Speaker;
use crate::spec::NodeSpec;
use crate::template::Template;

pub use fill::{AnyPrompt, value_text};

/// The prompt nodes.
pub const NODES: &[&NodeSpec] =
    &[&prompt_template::SPEC, &chat_prompt_template::SPEC, &few_shot_prompt_template::SPEC];

/// A prompt of one text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextPrompt {
    /// The text.
    pub template: Template,
    /// `promptValues`: what some of its variables are.
    pub values: Map<String, Value>,
}

/// A prompt of messages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatPrompt {
    /// The messages in order.
    pub messages: Vec<(Speaker, Template)>,
    /// `promptValues`: what some of their variables are.
    pub values: Map<String, Value>,
}

impl ChatPrompt {
    /// The value of a variable; `input` is the question where the author gives
    /// nothing else.
    pub fn value<'a>(&'a self, name: &str, question: &'a str) -> Option<Cow<'a, str>> {
        let given = self.values.get(name).and_then(value_text);
        if name == "input" {
            return given.filter(|text| !text.is_empty()).or(Some(Cow::Borrowed(question)));
        }
        given
    }
}

/// The error of a node whose prompt names a variable without a value.
pub fn no_value(node: &str, name: &str) -> NodeError {
    NodeError::BadInput {
        node: node.to_owned(),
        input: "prompt".to_owned(),
        problem: format!(
            "has no value for {{{name}}}; write {{input}} for the question, or add {name} to the \
             prompt values"
        ),
    }
}
