//! Flowise's `chatOpenAI`, version 8.1: Chat Completions of OpenAI, or of any
//! server that speaks them at `basepath`.

use super::compatible::{self, Provider};
use super::provider;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, ModelProfile};
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatOpenAI",
    category: "Chat Models",
    version: 8.1,
    about: "Asks a model of OpenAI, or of a server that speaks its protocol.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxTokens", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("frequencyPenalty", Kind::Number),
        Param::open("presencePenalty", Kind::Number),
        Param::open("timeout", Kind::Integer),
        Param::closed("strictToolCalling", Kind::Boolean),
        Param::open("stopSequence", Kind::Text),
        Param::closed("basepath", Kind::Text),
        Param::closed("proxyUrl", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("openAIApiKey", Kind::Text),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::closed("imageResolution", Kind::Choice(&["low", "high", "auto"])),
        Param::open("reasoningEffort", Kind::Choice(&["low", "medium", "high"])),
    ],
    credential: Some(&CredentialSpec {
        kind: "openAIApi",
        fields: &[("openAIApiKey", Some("OPENAI_API_KEY"))],
    }),
    build,
};

/// OpenAI itself.
pub(crate) const OPENAI: Provider = Provider {
    title: "OpenAI",
    name: "openai",
    url: "https://api.openai.com/v1",
    key: "openAIApiKey",
};
const DEFAULT_MODEL: &str = "gpt-4o-mini";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    if inputs.text("proxyUrl").is_some() {
        return Err(NodeError::Unsupported(format!(
            "{} ({}): proxyUrl is not supported; clear it, and set HTTPS_PROXY for the server",
            inputs.label, inputs.id
        )));
    }
    let name = inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let client = OPENAI.client(inputs, name, Some("basepath"))?;
    let profile = ModelProfile { images: compatible::images(inputs)?, images_apart: true };
    provider::model(inputs, client, profile)
}
