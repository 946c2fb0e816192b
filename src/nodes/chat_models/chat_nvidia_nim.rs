//! Flowise's Chat NVIDIA NIM, version 1.1: a model in a container of NVIDIA's,
//! or one that NVIDIA runs.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node by its name in Flowise 3.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatNvidiaNIM",
    category: "Chat Models",
    version: 1.1,
    about: "Asks a model behind NVIDIA NIM.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::closed("basePath", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxTokens", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("frequencyPenalty", Kind::Number),
        Param::open("presencePenalty", Kind::Number),
        Param::open("timeout", Kind::Integer),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("nvidiaNIMApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "nvidiaNIMApi",
        fields: &[("nvidiaNIMApiKey", Some("NVIDIA_API_KEY"))],
    }),
    build,
};

/// The same node by the name that Flowise 2.2.8 gave it.
pub const OLDER_SPEC: NodeSpec = NodeSpec { name: "Chat NVIDIA NIM", ..SPEC };

const NVIDIA: Provider = Provider {
    title: "NVIDIA NIM",
    name: "nvidia",
    url: "https://integrate.api.nvidia.com/v1",
    key: "nvidiaNIMApiKey",
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text("modelName")?;
    compatible::model(inputs, NVIDIA.client(inputs, name, Some("basePath"))?)
}
