//! Flowise's `chatTogetherAI`, version 2: open models that Together AI runs.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatTogetherAI",
    category: "Chat Models",
    version: 2.0,
    about: "Asks a model that Together AI runs.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::closed("togetherAIApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "togetherAIApi",
        fields: &[("togetherAIApiKey", Some("TOGETHER_API_KEY"))],
    }),
    build,
};

const TOGETHER: Provider = Provider {
    title: "Together AI",
    name: "together",
    url: "https://api.together.xyz/v1",
    key: "togetherAIApiKey",
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text("modelName")?;
    compatible::model(inputs, TOGETHER.client(inputs, name, None)?)
}
