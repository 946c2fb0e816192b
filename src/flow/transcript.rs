//! The stored conversation, as nodes and templates see it.

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_actors::SessionTail;
use parlor_nodes::{NodeError, Transcript, TurnCtx};
use parlor_schemas::{Exchanges, Fault, Role, SessionKey};

use crate::store::History;

/// The stored conversation for memory nodes: the actor's tail where that is
/// enough, the store otherwise.
pub(super) struct StoredTranscript {
    pub(super) tail: SessionTail,
    pub(super) key: SessionKey,
    pub(super) store: History,
}

impl Transcript for StoredTranscript {
    fn last(&self, n_turns: Option<usize>) -> BoxFuture<'_, Result<Exchanges, Fault>> {
        async move {
            let held = &self.tail.turns;
            let wanted = n_turns.unwrap_or(usize::MAX);
            if self.tail.complete || wanted <= held.len() {
                return Ok(held.last(wanted));
            }
            Ok(self.store.exchanges(self.key.clone(), n_turns).await?)
        }
        .boxed()
    }
}

/// `{{chat_history}}`: lines of `Human: ...` and `Assistant: ...`, the
/// request's history in front.
pub(super) async fn history_text(ctx: &TurnCtx) -> Result<String, NodeError> {
    let turns = ctx.transcript.last(None).await.map_err(NodeError::History)?;
    let line = |role, text: &str| match role {
        Role::UserMessage => format!("Human: {text}"),
        Role::ApiMessage => format!("Assistant: {text}"),
    };
    let given = ctx.history.iter().map(|item| line(item.role, &item.content));
    let stored = turns.iter().flat_map(|turn| turn.said()).map(|(role, text)| line(role, text));
    Ok(given.chain(stored).collect::<Vec<_>>().join("\n"))
}
