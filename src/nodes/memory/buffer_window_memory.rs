//! Flowise `bufferWindowMemory`, version 2: the last turns of the conversation.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{MEMORY_KEY, SESSION_ID, memory_key, recall};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, Memory};
use crate::model::ModelMessage;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "bufferWindowMemory",
    category: "Memory",
    version: 2.0,
    about: "Remembers the last k questions with their answers.",
    params: &[Param::open("k", Kind::Integer), SESSION_ID, MEMORY_KEY],
    credential: None,
    build,
};

const DEFAULT_K: f64 = 4.0;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let k = inputs.number("k")?.unwrap_or(DEFAULT_K);
    if k.fract() != 0.0 {
        return Err(inputs.bad("k", "must be a whole number of turns"));
    }
    // The cast saturates: below zero it is none, beyond any transcript it is all.
    let n_turns = k as usize;
    Ok(Instance::Memory(Arc::new(WindowMemory { key: memory_key(inputs), n_turns })))
}

struct WindowMemory {
    key: String,
    n_turns: usize,
}

impl Memory for WindowMemory {
    fn memory_key(&self) -> &str {
        &self.key
    }

    fn messages<'a>(
        &'a self,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<ModelMessage>, NodeError>> {
        Box::pin(recall(ctx, Some(self.n_turns)))
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::Role;

    use super::*;
    use crate::test_support::{TestTurn, build, build_error, source};

    const STORED: &[(&str, &str)] =
        &[("q1", "a1"), ("q2", "a2"), ("q3", "a3"), ("q4", "a4"), ("q5", "a5")];

    #[tokio::test]
    async fn k_turns_are_remembered_and_the_requests_history_comes_on_top() {
        for (k, expected) in [
            ("", "h q2 a2 q3 a3 q4 a4 q5 a5"),
            ("1", "h q5 a5"),
            ("99", "h q1 a1 q2 a2 q3 a3 q4 a4 q5 a5"),
            ("0", "h"),
            ("-3", "h"),
        ] {
            let Instance::Memory(memory) = build(&SPEC, [("k", source(k))]) else {
                panic!("a memory")
            };
            let turn = TestTurn::asking("now").history(&[(Role::UserMessage, "h")]).stored(STORED);

            let messages = memory.messages(&turn.ctx()).await.unwrap();

            let texts: Vec<_> = messages.iter().map(ModelMessage::plain).collect();
            assert_eq!(texts.join(" "), expected, "k = {k:?}");
        }
    }

    #[test]
    fn k_must_be_a_whole_number() {
        for k in ["2.5", "four"] {
            let error = build_error(&SPEC, [("k", source(k))]);
            assert!(error.to_string().contains("k must be a"), "{error}");
        }
    }
}
