//! Flowise `conversationSummaryMemory`, version 2: a summary of all that was
//! said. Flowise sums up the last two messages only, and forgets the rest.

use std::sync::Arc;

use futures::future::BoxFuture;

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
    name: "conversationSummaryMemory",
    category: "Memory",
    version: 2.0,
    about: "Remembers a summary of the conversation, written by a model.",
    params: &[Param::closed("model", Kind::Node), SESSION_ID, MEMORY_KEY],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let model = inputs.chat_model("model")?;
    Ok(Instance::Memory(Arc::new(SummaryMemory { key: memory_key(inputs), model })))
}

struct SummaryMemory {
    key: String,
    model: Arc<dyn ChatModel>,
}

impl Memory for SummaryMemory {
    fn memory_key(&self) -> &str {
        &self.key
    }

    fn messages<'a>(
        &'a self,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<ModelMessage>, NodeError>> {
        Box::pin(async move {
            let mut story = Story::read(ctx).await?;
            story.fold(story.rest.len(), self.model.as_ref(), ctx).await?;
            story.messages(ctx).await
        })
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::Role;
    use serde_json::json;

    use super::*;
    use crate::test_support::{FakeModel, TestTurn, build, build_error, node, system, user};

    fn memory(model: &Arc<FakeModel>) -> Arc<dyn Memory> {
        match build(&SPEC, [("model", node(Instance::ChatModel(model.clone())))]) {
            Instance::Memory(memory) => memory,
            other => panic!("{}", other.kind()),
        }
    }

    #[tokio::test]
    async fn a_conversation_without_turns_has_no_summary_and_costs_no_call() {
        let model = FakeModel::saying("x");
        let turn = TestTurn::asking("hi").history(&[(Role::UserMessage, "h")]).ctx();

        assert_eq!(memory(&model).messages(&turn).await.unwrap(), [user("h")]);

        assert_eq!(model.n_calls(), 0);
        assert_eq!(turn.kept.take(), None);
    }

    #[tokio::test]
    async fn all_turns_are_summed_up_and_the_summary_stands_after_the_requests_history() {
        let model = FakeModel::saying(" They greeted. ");
        let turn = TestTurn::asking("now")
            .history(&[(Role::UserMessage, "h")])
            .stored(&[("q1", "a1"), ("q2", "a2"), ("q3", "a3")])
            .ctx();

        let messages = memory(&model).messages(&turn).await.unwrap();

        let summary = system("Summary of the conversation so far:\nThey greeted.");
        assert_eq!(messages, [user("h"), summary]);
        let task = model.only_prompt()[0].plain();
        let lines = "Summary so far:\n(none yet)\n\nNew lines:\n\
            Human: q1\nAI: a1\nHuman: q2\nAI: a2\nHuman: q3\nAI: a3\n\nNew summary:";
        assert!(task.ends_with(lines), "{task}");
        let kept = json!({"summary": "They greeted.", "through": 2});
        assert_eq!(turn.kept.take(), Some(kept));
    }

    #[test]
    fn a_model_is_required() {
        let error = build_error(&SPEC, []).to_string();
        assert!(error.contains("model is not connected"), "{error}");
    }
}
