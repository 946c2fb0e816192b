//! Flowise's `mistralAIEmbeddings`, version 2: the embedding models of Mistral AI.

use super::compatible::{self, BATCH_SIZE, DEFAULT_BATCH_SIZE, MODEL, STRIP_NEW_LINES};
use crate::chat_models::chat_mistral_ai::{MISTRAL, api_of};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::openai::Dialect;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "mistralAIEmbeddings",
    category: "Embeddings",
    version: 2.0,
    about: "Vectors by a model of Mistral AI.",
    params: &[
        MODEL,
        BATCH_SIZE,
        STRIP_NEW_LINES,
        Param::closed("overrideEndpoint", Kind::Text),
        Param::closed("mistralAIAPIKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "mistralAIApi",
        fields: &[("mistralAIAPIKey", Some("MISTRAL_API_KEY"))],
    }),
    build,
};

const DEFAULT_MODEL: &str = "mistral-embed";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let model = inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let mut client = MISTRAL.client(inputs, model, None)?;
    client.endpoint.typed = inputs.text("overrideEndpoint").map(|server| api_of(&server));
    client.dialect = Dialect::Mistral;
    compatible::embeddings(inputs, "mistral", client, DEFAULT_BATCH_SIZE)
}
