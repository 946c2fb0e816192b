//! Flowise `retrievalQAChain`, version 2: a question answered from documents,
//! without a memory. All documents stand in one prompt (LangChain's *stuff*).

use std::sync::Arc;

use futures::future::BoxFuture;

use super::grounding;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, RunOutput, Runnable};
use crate::model::{ChatRequest, ModelMessage, Speaker};
use crate::moderation;
use crate::retrieval::{Document, Retriever};
use crate::retrievers;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "retrievalQAChain",
    category: "Chains",
    version: 2.0,
    about: "Answers one question from documents.",
    params: &[
        Param::closed("model", Kind::Node),
        Param::closed("vectorStoreRetriever", Kind::Node),
        moderation::INPUT,
    ],
    credential: None,
    build,
};

/// What goes before the documents.
const INSTRUCTION: &str = "Answer the person's question from the passages below. Where they do \
    not hold the answer, say that you do not know it, and make nothing up.\n----------------\n";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    moderation::guarded(
        inputs,
        RetrievalQaChain {
            model: inputs.chat_model("model")?,
            retriever: inputs.retriever("vectorStoreRetriever")?,
        },
    )
}

/// The prompt for a question with the documents that were found for it.
pub(super) fn request(documents: &[Document], question: &str) -> ChatRequest {
    let system = format!("{INSTRUCTION}{}", grounding::stuffed(documents));
    ChatRequest::new(vec![
        ModelMessage::text(Speaker::System, system),
        ModelMessage::text(Speaker::User, question),
    ])
}

struct RetrievalQaChain {
    model: Arc<dyn ChatModel>,
    retriever: Arc<dyn Retriever>,
}

impl Runnable for RetrievalQaChain {
    fn run<'a>(
        &'a self,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<RunOutput, NodeError>> {
        Box::pin(async move {
            let documents = retrievers::find(self.retriever.as_ref(), &ctx.question, ctx).await?;
            let request = request(&documents, &ctx.question);
            let reply = self.model.call(request, ctx, stream).await?;
            Ok(RunOutput::text(reply.text))
        })
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::StreamEvent;

    use super::*;
    use crate::test_support::{FakeModel, FakeRetriever, TestTurn, build, node, system, user};

    fn chain(model: &Arc<FakeModel>, retriever: &Arc<FakeRetriever>) -> Arc<dyn Runnable> {
        let inputs = [
            ("model", node(Instance::ChatModel(model.clone()))),
            ("vectorStoreRetriever", node(Instance::Retriever(retriever.clone()))),
        ];
        let Instance::Runnable(chain) = build(&SPEC, inputs) else { panic!("a chain") };
        chain
    }

    #[tokio::test]
    async fn the_documents_stand_in_one_prompt_and_the_conversation_stays_out() {
        let model = FakeModel::saying("At eight.");
        let retriever = FakeRetriever::finding(["It opens {question} at eight.", "Mill Lane"]);
        let ctx = TestTurn::asking("When {context}?").stored(&[("q", "a")]).ctx();

        let output = chain(&model, &retriever).run(&ctx, false).await.unwrap();

        assert_eq!(output, RunOutput::text("At eight."));
        assert_eq!(retriever.asked(), ["When {context}?"]);
        let told = format!("{INSTRUCTION}It opens {{question}} at eight.\n\nMill Lane");
        assert_eq!(model.only_prompt(), [system(&told), user("When {context}?")]);
    }

    #[tokio::test]
    async fn the_answer_is_streamed_and_no_sources_are_told() {
        let model = FakeModel::saying("At eight.");
        let (ctx, mut events) = TestTurn::asking("When?").streaming();

        let chain = chain(&model, &FakeRetriever::finding(["a"]));
        chain.run(&ctx, true).await.unwrap();

        let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let answer = || "At eight.".to_owned();
        assert_eq!(heard, [StreamEvent::Start(answer()), StreamEvent::Token(answer())]);
    }
}
