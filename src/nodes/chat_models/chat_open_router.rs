//! Flowise's `chatOpenRouter`, version 1: models of many providers behind one
//! address, by names such as `openai/gpt-4o`.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node. Flowise 3 added `allowImageUploads` under the same version.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatOpenRouter",
    category: "Chat Models",
    version: 1.0,
    about: "Asks a model that OpenRouter offers.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::open("maxTokens", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("frequencyPenalty", Kind::Number),
        Param::open("presencePenalty", Kind::Number),
        Param::open("timeout", Kind::Integer),
        Param::closed("basepath", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("openRouterApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "openRouterApi",
        fields: &[("openRouterApiKey", Some("OPENROUTER_API_KEY"))],
    }),
    build,
};

const OPENROUTER: Provider = Provider {
    title: "OpenRouter",
    name: "openrouter",
    url: "https://openrouter.ai/api/v1",
    key: "openRouterApiKey",
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text("modelName")?;
    compatible::model(inputs, OPENROUTER.client(inputs, name, Some("basepath"))?)
}
