//! Prompts: templates with the values that the author gave.

mod fill;

mod chat_prompt_template;
mod few_shot_prompt_template;
mod prompt_template;

use serde_json::{Map, Value};

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
