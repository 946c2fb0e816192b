//! Replies of embeddings: large bodies of numbers, parsed off the arbiter.

use serde::de::DeserializeOwned;

use super::http::Reply;
use crate::error::NodeError;
use crate::retrieval::check_vectors;

/// The largest reply in MiB: 512 vectors of 3,072 numbers are 35 MiB of JSON.
pub(crate) const MAX_MIB: usize = 128;
/// A body of this many bytes is parsed within a millisecond.
const SMALL: usize = 256 << 10;

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
    let vectors = match body.len() {
        0..=SMALL => parse::<T>(&body),
        _ => tokio::task::spawn_blocking(move || parse::<T>(&body)).await.ok().flatten(),
    };
    let vectors = vectors.ok_or_else(|| call.broken("sent something else than vectors"))?;
    check_vectors(call.provider, n_texts, vectors)
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

fn parse<T: Vectors>(body: &[u8]) -> Option<Vec<Vec<f32>>> {
    serde_json::from_slice(body).ok().map(T::into_vectors)
}
