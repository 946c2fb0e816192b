//! Flowise's `chatXAI`, version 2: the Grok models of xAI.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node. Version 2 added the images.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatXAI",
    category: "Chat Models",
    version: 2.0,
    about: "Asks a Grok model of xAI.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::open("maxTokens", Kind::Integer),
        Param::closed("xaiApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "xaiApi",
        fields: &[("xaiApiKey", Some("XAI_API_KEY"))],
    }),
    build,
};

const XAI: Provider =
    Provider { title: "xAI", name: "xai", url: "https://api.x.ai/v1", key: "xaiApiKey" };

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text("modelName")?;
    compatible::model(inputs, XAI.client(inputs, name, None)?)
}
