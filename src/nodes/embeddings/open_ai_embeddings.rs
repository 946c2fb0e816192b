//! Flowise's `openAIEmbeddings`, version 4: OpenAI, or any server that speaks
//! its protocol at `basepath`.

use super::compatible::{self, BATCH_SIZE, DEFAULT_BATCH_SIZE, DIMENSIONS, MODEL, STRIP_NEW_LINES};
use crate::chat_models::chat_open_ai::OPENAI;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "openAIEmbeddings",
    category: "Embeddings",
    version: 4.0,
    about: "Vectors by OpenAI, or by a server that speaks its protocol.",
    params: &[
        MODEL,
        STRIP_NEW_LINES,
        BATCH_SIZE,
        Param::open("timeout", Kind::Integer),
        Param::closed("basepath", Kind::Text),
        DIMENSIONS,
        Param::closed("openAIApiKey", Kind::Text),
    ],
    credential: Some(&CREDENTIAL),
    build,
};

/// OpenAI's key.
pub(super) const CREDENTIAL: CredentialSpec =
    CredentialSpec { kind: "openAIApi", fields: &[("openAIApiKey", Some("OPENAI_API_KEY"))] };
/// The model where none is typed (LangChain JS).
pub(super) const DEFAULT_MODEL: &str = "text-embedding-ada-002";

/// Of both nodes: one lists `baseOptions` among its inputs, the other does not.
pub(super) fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let model = inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let client = OPENAI.client(inputs, model, Some("basepath"))?;
    compatible::embeddings(inputs, "openai", client, DEFAULT_BATCH_SIZE)
}
