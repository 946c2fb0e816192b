//! The chat model's request and reply, whatever the provider.

use parlor_schemas::Usage;
use serde::Deserialize;
use serde_json::Value;

/// Who speaks in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's result, answering one call.
    Tool,
}

/// How closely a model should look at images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageDetail {
    /// Few tokens.
    #[default]
    Low,
    /// Many tokens.
    High,
    /// The provider chooses.
    Auto,
    /// Nothing is said of it: images that a memory brings back.
    #[serde(skip)]
    Unsaid,
}

impl ImageDetail {
    /// The word on the wire, if there is one.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Low => Some("low"),
            Self::High => Some("high"),
            Self::Auto => Some("auto"),
            Self::Unsaid => None,
        }
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture: a `data:` URI with base64, or a URL that the provider fetches.
    Image {
        /// The URI.
        url: String,
        /// How closely to look.
        detail: ImageDetail,
    },
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelMessage {
    /// Who speaks.
    pub speaker: Speaker,
    /// Text and images in order.
    pub parts: Vec<Part>,
    /// Calls that an assistant's message made.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's message answers.
    pub tool_call_id: Option<String>,
}

impl ModelMessage {
    /// A message of one text.
    pub fn text(speaker: Speaker, text: impl Into<String>) -> Self {
        Self {
            speaker,
            parts: vec![Part::Text(text.into())],
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// The texts of the message, one after the other.
    pub fn plain(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Image { .. } => None,
        });
        texts.collect()
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// The name that the model uses.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// Whether the provider should hold the arguments to the schema.
    pub strict: bool,
}

/// A call that the model made.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The provider's id, or one of ours where it gives none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments: an object, or a text where the model wrote no JSON.
    pub arguments: Value,
}

/// Whether and which tools the model must call.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ToolChoice {
    /// The model chooses.
    #[default]
    Auto,
    /// Some tool.
    Required,
    /// No tool.
    None,
    /// This one.
    Named(String),
}

/// A shape that the answer must have.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSchema {
    /// A name for it.
    pub name: String,
    /// JSON Schema.
    pub schema: Value,
    /// Whether the provider should hold the answer to it.
    pub strict: bool,
}

/// What is asked of a model; its own settings (temperature ...) are the node's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatRequest {
    /// The prompt.
    pub messages: Vec<ModelMessage>,
    /// Tools on offer.
    pub tools: Vec<ToolDefinition>,
    /// Whether they must be used.
    pub tool_choice: ToolChoice,
    /// Where to stop, besides the node's own stop words.
    pub stop: Vec<String>,
    /// The shape of the answer.
    pub output_schema: Option<OutputSchema>,
}

impl ChatRequest {
    /// A request of messages alone.
    pub fn new(messages: Vec<ModelMessage>) -> Self {
        Self { messages, ..Self::default() }
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FinishReason {
    /// It was done, or met a stop word.
    #[default]
    Stop,
    /// It reached the limit of tokens.
    Length,
    /// It calls tools.
    ToolCalls,
    /// The provider withheld the answer.
    ContentFilter,
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatReply {
    /// Its text, possibly empty where tools are called.
    pub text: String,
    /// Its calls.
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish: FinishReason,
    /// Tokens, as the provider counted.
    pub usage: Usage,
}
