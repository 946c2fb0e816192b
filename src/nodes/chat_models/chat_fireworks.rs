//! Flowise's `chatFireworks`, version 2: open models that Fireworks AI runs.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatFireworks",
    category: "Chat Models",
    version: 2.0,
    about: "Asks a model that Fireworks AI runs.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::closed("fireworksApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "fireworksApi",
        fields: &[("fireworksApiKey", Some("FIREWORKS_API_KEY"))],
    }),
    build,
};

const FIREWORKS: Provider = Provider {
    title: "Fireworks AI",
    name: "fireworks",
    url: "https://api.fireworks.ai/inference/v1",
    key: "fireworksApiKey",
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text("modelName")?;
    compatible::model(inputs, FIREWORKS.client(inputs, name, None)?)
}
