//! Flowise `conversationSummaryBufferMemory`, version 1: the newest turns word
//! for word, a summary of the older ones.
//!
//! Tokens are estimated, as the model may be anyone's: four ASCII characters
//! to a token, each other character one.

use std::sync::Arc;

use futures::future::BoxFuture;
use parlor_schemas::{Exchange, Exchanges};

use super::rolling_summary::Story;
use super::{MEMORY_KEY, SESSION_ID, memory_key};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, Memory};
use crate::model::ModelMessage;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "conversationSummaryBufferMemory",
    category: "Memory",
    version: 1.0,
    about: "Remembers the newest turns, and a summary of the older ones.",
    params: &[
        Param::closed("model", Kind::Node),
        Param::open("maxTokenLimit", Kind::Integer),
        SESSION_ID,
        MEMORY_KEY,
    ],
    credential: None,
    build,
};

const DEFAULT_LIMIT: u64 = 2000;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let limit = inputs.integer("maxTokenLimit", 0)?.and_then(|limit| u64::try_from(limit).ok());
    Ok(Instance::Memory(Arc::new(SummaryBufferMemory {
        key: memory_key(inputs),
        model: inputs.chat_model("model")?,
        max_tokens: limit.unwrap_or(DEFAULT_LIMIT),
    })))
}

struct SummaryBufferMemory {
    key: String,
    model: Arc<dyn ChatModel>,
    max_tokens: u64,
}

impl SummaryBufferMemory {
    /// How many of the newest turns fit into the limit.
    fn n_that_fit(&self, turns: &Exchanges) -> usize {
        let weight = |turn: Exchange<'_>| turn.said().map(|(_, text)| tokens(text)).sum::<u64>();
        let weights: Vec<_> = turns.iter().map(weight).collect();
        let mut n_tokens = 0;
        let fits = weights.iter().rev().take_while(|weight| {
            n_tokens += **weight;
            n_tokens <= self.max_tokens
        });
        fits.count()
    }
}

fn tokens(text: &str) -> u64 {
    let n_ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let n_others = text.chars().filter(|letter| !letter.is_ascii()).count() as u64;
    n_ascii.div_ceil(4) + n_others
}

impl Memory for SummaryBufferMemory {
    fn memory_key(&self) -> &str {
        &self.key
    }

    fn messages<'a>(
        &'a self,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<ModelMessage>, NodeError>> {
        Box::pin(async move {
            let mut story = Story::read(ctx).await?;
            let n_older = story.rest.len() - self.n_that_fit(&story.rest);
            story.fold(n_older, self.model.as_ref(), ctx).await?;
            story.messages(ctx).await
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{FakeModel, TestTurn, assistant, build, node, source, system, user};

    const STORED: &[(&str, &str)] =
        &[("12345678", "12345678"), ("12345678", "12345678"), ("new", "newer")];

    async fn remembered(limit: &str, model: &Arc<FakeModel>) -> (Vec<ModelMessage>, TurnCtx) {
        let model = node(Instance::ChatModel(model.clone()));
        let values = [("model", model), ("maxTokenLimit", source(limit))];
        let Instance::Memory(memory) = build(&SPEC, values) else { panic!("a memory") };
        let turn = TestTurn::asking("now").stored(STORED).ctx();
        (memory.messages(&turn).await.unwrap(), turn)
    }

    #[tokio::test]
    async fn what_fits_stays_word_for_word_and_costs_no_call() {
        for limit in ["", "11", "2000"] {
            let model = FakeModel::saying("x");
            let (messages, turn) = remembered(limit, &model).await;
            assert_eq!(messages.len(), 6, "limit {limit:?}");
            assert_eq!((model.n_calls(), turn.kept.take()), (0, None), "limit {limit:?}");
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_summed_up_oldest_first() {
        let summary = system("Summary of the conversation so far:\nIt began.");
        for (limit, n_verbatim, through) in
            [("10", 2, 0), ("6", 1, 1), ("3", 1, 1), ("2", 0, 2), ("0", 0, 2)]
        {
            let model = FakeModel::saying("It began.");
            let (messages, turn) = remembered(limit, &model).await;
            let mut expected = vec![summary.clone()];
            for (question, answer) in &STORED[STORED.len() - n_verbatim..] {
                expected.extend([user(question), assistant(answer)]);
            }
            assert_eq!(messages, expected, "limit {limit}");
            assert_eq!(model.n_calls(), 1);
            let kept = json!({"summary": "It began.", "through": through});
            assert_eq!(turn.kept.take(), Some(kept), "limit {limit}");
        }
    }

    #[test]
    fn tokens_are_estimated_by_script() {
        for (text, n_tokens) in [("", 0), ("abcde", 2), ("日本語", 3), ("né", 2)] {
            assert_eq!(tokens(text), n_tokens, "{text}");
        }
    }
}
