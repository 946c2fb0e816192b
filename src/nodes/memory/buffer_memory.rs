//! Flowise `bufferMemory`, version 2: the whole conversation.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{MEMORY_KEY, SESSION_ID, memory_key, recall};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, Memory};
use crate::model::ModelMessage;
use crate::spec::NodeSpec;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "bufferMemory",
    category: "Memory",
    version: 2.0,
    about: "Remembers the whole conversation.",
    params: &[SESSION_ID, MEMORY_KEY],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Memory(Arc::new(BufferMemory { key: memory_key(inputs) })))
}

/// All that was said.
pub(super) struct BufferMemory {
    /// Name of the placeholder.
    pub(super) key: String,
}

impl Memory for BufferMemory {
    fn memory_key(&self) -> &str {
        &self.key
    }

    fn messages<'a>(
        &'a self,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<ModelMessage>, NodeError>> {
        Box::pin(recall(ctx, None))
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::Role;

    use super::*;
    use crate::test_support::{TestTurn, assistant, build, source, user};

    #[tokio::test]
    async fn the_requests_history_comes_before_all_stored_turns() {
        let Instance::Memory(memory) = build(&SPEC, []) else { panic!("a memory") };
        let turn = TestTurn::asking("now")
            .history(&[(Role::ApiMessage, "Hello"), (Role::UserMessage, "Hi")])
            .stored(&[("q1", "a1"), ("q2", "a2")]);

        let messages = memory.messages(&turn.ctx()).await.unwrap();

        let expected = [
            assistant("Hello"),
            user("Hi"),
            user("q1"),
            assistant("a1"),
            user("q2"),
            assistant("a2"),
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn the_memory_key_can_be_named() {
        for (typed, expected) in [("", "chat_history"), ("past", "past")] {
            let Instance::Memory(memory) = build(&SPEC, [("memoryKey", source(typed))]) else {
                panic!("a memory")
            };
            assert_eq!(memory.memory_key(), expected);
        }
    }
}
