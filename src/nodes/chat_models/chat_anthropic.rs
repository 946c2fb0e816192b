//! Flowise's `chatAnthropic`, version 8: the Messages API of Anthropic.

use super::provider;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, ModelProfile};
use crate::model::ImageDetail;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::anthropic::{Anthropic, Settings};
use crate::wire::{Endpoint, Key};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatAnthropic",
    category: "Chat Models",
    version: 8.0,
    about: "Asks a model of Anthropic.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxTokensToSample", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("topK", Kind::Integer),
        Param::open("extendedThinking", Kind::Boolean),
        Param::open("budgetTokens", Kind::Integer),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::closed("anthropicApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "anthropicApi",
        fields: &[("anthropicApiKey", Some("ANTHROPIC_API_KEY"))],
    }),
    build,
};

const DEFAULT_MODEL: &str = "claude-3-haiku";
/// The client library of Flowise sends this where the node gives no limit.
const DEFAULT_MAX_TOKENS: i64 = 2048;
const DEFAULT_THINKING: i64 = 1024;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let thinks = inputs.boolean("extendedThinking")? == Some(true);
    let thinking_budget = thinks
        .then(|| inputs.integer("budgetTokens", 1))
        .transpose()?
        .map(|budget| budget.unwrap_or(DEFAULT_THINKING));
    let client = Anthropic {
        endpoint: Endpoint {
            provider: "anthropic",
            public: "https://api.anthropic.com".into(),
            typed: None,
            key: Key::of(inputs, "anthropicApiKey", "anthropicApiKey"),
        },
        settings: Settings {
            model: inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            max_tokens: max_tokens(inputs, thinking_budget)?,
            temperature: inputs.number("temperature")?,
            top_p: inputs.number("topP")?,
            top_k: inputs.integer("topK", 0)?,
            thinking_budget,
        },
    };
    let images = (inputs.boolean("allowImageUploads")? == Some(true)).then(ImageDetail::default);
    provider::model(inputs, client, ModelProfile { images, images_apart: false })
}

/// The limit of tokens. Thinking counts against it, so that the provider
/// refuses one that leaves nothing for the answer.
fn max_tokens(inputs: &Inputs, thinking_budget: Option<i64>) -> Result<i64, NodeError> {
    let thinking = thinking_budget.unwrap_or_default();
    match inputs.integer("maxTokensToSample", 1)? {
        None => Ok(thinking.saturating_add(DEFAULT_MAX_TOKENS)),
        Some(tokens) if tokens > thinking => Ok(tokens),
        Some(_) => Err(inputs.bad("maxTokensToSample", "must be larger than budgetTokens")),
    }
}
