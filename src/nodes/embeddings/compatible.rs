//! What the nodes share whose providers speak OpenAI's `/embeddings`: one way
//! from their inputs to embeddings.

use std::sync::Arc;

use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, Param};
use crate::wire::openai::OpenAi;
use crate::wire::openai::embeddings::OpenAiEmbeddings;

/// The model. Of the chatflow's list alone: a store is searched with what filled
/// it, and a request that names a chat model by the same key means that one.
pub(super) const MODEL: Param = Param::listed("modelName", Kind::Text);
/// Most texts of one call. Closed: it is between the operator and the provider.
pub(super) const BATCH_SIZE: Param = Param::closed("batchSize", Kind::Integer);
/// Whether line breaks are sent as blanks, true where it is empty.
pub(super) const STRIP_NEW_LINES: Param = Param::open("stripNewLines", Kind::Boolean);
/// How long vectors should be. Closed: a store holds vectors of one length.
pub(super) const DIMENSIONS: Param = Param::closed("dimensions", Kind::Integer);

/// Texts of one call where the node does not say (LangChain JS).
pub(super) const DEFAULT_BATCH_SIZE: usize = 512;
/// Most texts that OpenAI takes at once.
const MAX_BATCH_SIZE: i64 = 2048;

/// The embeddings of a client; `provider` stands before the model in their identity.
///
/// # Errors
/// [`NodeError::BadInput`] for settings that are no numbers or booleans.
pub(super) fn embeddings(
    inputs: &Inputs,
    provider: &str,
    mut client: OpenAi,
    batch_size: usize,
) -> Result<Instance, NodeError> {
    if client.path == "/chat/completions" {
        client.path = "/embeddings".into();
    }
    let typed = inputs.integer(BATCH_SIZE.name, 1)?.map(|size| size.min(MAX_BATCH_SIZE));
    let typed = typed.and_then(|size| usize::try_from(size).ok());
    Ok(Instance::Embeddings(Arc::new(OpenAiEmbeddings {
        identity: format!("{provider} {}", client.settings.model),
        client,
        batch_size: typed.unwrap_or(batch_size),
        strips_lines: inputs.boolean(STRIP_NEW_LINES.name)?.unwrap_or(true),
        dimensions: inputs.integer(DIMENSIONS.name, 1)?,
    })))
}
