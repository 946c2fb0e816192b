//! Flowise's `localAIEmbeddings`, version 1: a model on a server of one's own
//! that speaks OpenAI's protocol, with or without a key.

use super::compatible::{self, DEFAULT_BATCH_SIZE, MODEL};
use crate::chat_models::chat_local_ai::LOCALAI;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "localAIEmbeddings",
    category: "Embeddings",
    version: 1.0,
    about: "Vectors by a model of LocalAI, or of another server of one's own.",
    params: &[
        Param::closed("basePath", Kind::Text),
        MODEL,
        Param::closed("localAIApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec { kind: "localAIApi", fields: &[("localAIApiKey", None)] }),
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let model = inputs.required_text("modelName")?;
    let mut client = LOCALAI.client(inputs, model, Some("basePath"))?;
    client.endpoint.key = client.endpoint.key.or_none();
    compatible::embeddings(inputs, "localai", client, DEFAULT_BATCH_SIZE)
}
