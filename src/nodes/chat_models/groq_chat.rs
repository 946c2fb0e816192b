//! Flowise's `groqChat`, version 4: open models that Groq runs.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node. Flowise 3 added `maxTokens` under the same version.
pub const SPEC: NodeSpec = NodeSpec {
    name: "groqChat",
    category: "Chat Models",
    version: 4.0,
    about: "Asks a model that Groq runs.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::open("maxTokens", Kind::Integer),
        Param::closed("streaming", Kind::Boolean),
        Param::closed("groqApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "groqApi",
        fields: &[("groqApiKey", Some("GROQ_API_KEY"))],
    }),
    build,
};

const GROQ: Provider = Provider {
    title: "Groq",
    name: "groq",
    url: "https://api.groq.com/openai/v1",
    key: "groqApiKey",
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text("modelName")?;
    compatible::model(inputs, GROQ.client(inputs, name, None)?)
}
