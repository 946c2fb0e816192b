//! Asking a retriever: a query of a bounded length, and an end when the caller leaves.

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Document, Retriever};

/// Most bytes of a query: embedding models take a few thousand tokens. What
/// exceeds it is attached text, and the question stands behind that.
const MAX_QUERY_BYTES: usize = 16 * 1024;

/// The documents for a query, best first; none for a blank one, which
/// providers refuse to embed.
///
/// # Errors
/// The retriever's; [`NodeError::Cancelled`] when the caller left.
pub async fn find(
    retriever: &dyn Retriever,
    query: &str,
    ctx: &TurnCtx,
) -> Result<Vec<Document>, NodeError> {
    let query = &query[query.ceil_char_boundary(query.len().saturating_sub(MAX_QUERY_BYTES))..];
    if query.trim().is_empty() {
        return Ok(Vec::new());
    }
    let search = ctx.cancel.run_until_cancelled(retriever.retrieve(query, ctx));
    search.await.unwrap_or(Err(NodeError::Cancelled))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_support::{FakeRetriever, TestTurn};

    #[tokio::test]
    async fn a_blank_query_searches_nothing_and_a_long_one_keeps_its_end() {
        let retriever = FakeRetriever::finding(["a"]);
        let ctx = TestTurn::asking("").ctx();

        assert_eq!(find(retriever.as_ref(), " \n", &ctx).await.unwrap(), []);
        let long = format!("{}what is it?", "€".repeat(MAX_QUERY_BYTES));
        find(retriever.as_ref(), &long, &ctx).await.unwrap();

        let asked = retriever.asked();
        assert_eq!(asked.len(), 1, "a blank query was searched");
        assert!(asked[0].len() <= MAX_QUERY_BYTES && asked[0].ends_with("€what is it?"));
    }

    #[tokio::test]
    async fn a_caller_who_leaves_ends_the_search() {
        let ctx = TestTurn::asking("").ctx();
        let retriever = FakeRetriever::never();
        let search = find(retriever.as_ref(), "q", &ctx);
        let leave = async { ctx.cancel.cancel() };

        let both = async { tokio::join!(search, leave).0 };
        let found = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();

        assert!(matches!(found, Err(NodeError::Cancelled)));
    }
}
