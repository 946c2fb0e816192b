//! Replies of embeddings: large bodies of numbers, parsed off the arbiter.

use serde::de::DeserializeOwned;

use super::http::Reply;
use super::parse::parse;
use crate::error::NodeError;
use crate::retrieval::check_vectors;

/// The largest reply in MiB: 512 vectors of 3,072 numbers are 35 MiB of JSON.
pub(crate) const MAX_MIB: usize = 128;

/// A list of vectors somewhere in a provider's JSON.
pub(crate) trait Vectors: DeserializeOwned + Send + 'static {
    /// The vectors in order.
    fn into_vectors(self) -> Vec<Vec<f32>>;
}

/// The vectors of so many texts.
///
/// # Errors
/// Those of [`Reply::whole`]; [`NodeError::UpstreamBroken`] for a body that is
/// something else, and for vectors that cannot be used.
pub(crate) async fn read<T: Vectors>(
    reply: Reply<'_>,
    n_texts: usize,
) -> Result<Vec<Vec<f32>>, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    let found = parse::<T>(body).await;
    let found = found.ok_or_else(|| call.broken("sent something else than vectors"))?;
    check_vectors(call.provider, n_texts, found.into_vectors())
}

/// The one vector of a question.
///
/// # Errors
/// [`NodeError::UpstreamBroken`] when there is none.
pub(crate) fn only(provider: &str, mut vectors: Vec<Vec<f32>>) -> Result<Vec<f32>, NodeError> {
    vectors.pop().ok_or_else(|| NodeError::UpstreamBroken {
        provider: provider.to_owned(),
        problem: "sent no vector".to_owned(),
    })
}
