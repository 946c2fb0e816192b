//! Flowise `conversationalRetrievalQAChain`, version 3: a conversation that is
//! answered from documents.
//!
//! With a history, the model first rephrases the question so that it can be
//! searched for alone. Those words go to the retriever and nowhere else: the
//! model answers the person's own.

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::grounding::{self, Prompt};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, Memory, RunOutput, Runnable};
use crate::memory;
use crate::model::{ChatRequest, ModelMessage, Speaker};
use crate::moderation;
use crate::retrieval::{Document, Retriever};
use crate::retrievers;
use crate::rich_text::RichText;
use crate::spec::{Kind, NodeSpec, Param};
use crate::template::Template;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "conversationalRetrievalQAChain",
    category: "Chains",
    version: 3.0,
    about: "Answers from documents and remembers the conversation.",
    params: &[
        Param::closed("model", Kind::Node),
        Param::closed("vectorStoreRetriever", Kind::Node),
        Param::closed("memory", Kind::Node),
        Param::open("returnSourceDocuments", Kind::Boolean),
        Param::open(REPHRASE, Kind::Template),
        Param::open(RESPONSE, Kind::Template),
        Param::open(OLD_SYSTEM, Kind::Template),
        moderation::INPUT,
    ],
    credential: None,
    build,
};

const REPHRASE: &str = "rephrasePrompt";
const RESPONSE: &str = "responsePrompt";
/// What version 1 had in place of a response prompt.
const OLD_SYSTEM: &str = "systemMessagePrompt";

/// The palette's text, as recorded with Flowise 2.2.8.
const DEFAULT_REPHRASE: &str = "Given the following conversation and a follow up question, \
    rephrase the follow up question to be a standalone question.\n\nChat History:\n{chat_history}\n\
    Follow Up Input: {question}\nStandalone Question:";

/// What the model is told where the author left no prompt.
const DEFAULT_RESPONSE: &str = "Answer from the documents between the two lines, and from \
    nothing else.\n------------\n{context}\n------------\nIf they hold no answer, say that you \
    are not sure, and stop there.";

/// Follows the system message of a flow of version 1.
const OLD_RESPONSE: &str = "Answer from these passages alone, and say so where they do not \
    tell.\n\n{context}\n\nQuestion: {question}\nAnswer:";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let memory = match inputs.node("memory") {
        Some(_) => inputs.memory("memory")?,
        None => memory::whole_conversation(),
    };
    let rephrase = inputs.rich(REPHRASE).unwrap_or_else(|| RichText::source(DEFAULT_REPHRASE));
    moderation::guarded(
        inputs,
        ConversationalRetrievalQaChain {
            model: inputs.chat_model("model")?,
            retriever: inputs.retriever("vectorStoreRetriever")?,
            memory,
            returns_sources: grounding::wants_sources(inputs)?,
            rephrase: Prompt::new(REPHRASE, Template::parse(&rephrase)),
            response: response(inputs),
            node: inputs.title(),
        },
    )
}

/// The old system message comes first where a flow still has one, as in Flowise.
fn response(inputs: &Inputs) -> Prompt {
    let own = |text: &str| Template::parse(&RichText::source(text));
    match (inputs.rich(OLD_SYSTEM), inputs.rich(RESPONSE)) {
        (Some(system), _) => {
            let template = Template::parse(&system).join("\n", own(OLD_RESPONSE));
            Prompt::new(OLD_SYSTEM, template)
        }
        (None, Some(response)) => Prompt::new(RESPONSE, Template::parse(&response)),
        (None, None) => Prompt::new(RESPONSE, own(DEFAULT_RESPONSE)),
    }
}

struct ConversationalRetrievalQaChain {
    model: Arc<dyn ChatModel>,
    retriever: Arc<dyn Retriever>,
    memory: Arc<dyn Memory>,
    returns_sources: bool,
    rephrase: Prompt,
    response: Prompt,
    /// Label and id, for errors.
    node: String,
}

impl ConversationalRetrievalQaChain {
    /// What is searched for: the question, made to stand alone where something
    /// was said before it. A model that cannot write leaves it as it is.
    async fn query<'a>(&self, history: &str, ctx: &'a TurnCtx) -> Result<Cow<'a, str>, NodeError> {
        let question = Cow::Borrowed(ctx.question.as_ref());
        if history.is_empty() || !self.model.writes() {
            return Ok(question);
        }
        let values = [("chat_history", history), ("question", ctx.question.as_ref())];
        let prompt = self.rephrase.fill(&self.node, &values)?;
        let request = ChatRequest::new(vec![ModelMessage::text(Speaker::User, prompt)]);
        let rephrased = self.model.call(request, ctx, false).await?.text;
        Ok(if rephrased.trim().is_empty() { question } else { Cow::Owned(rephrased) })
    }

    /// The response prompt with the documents, the history, the person's words.
    fn messages(
        &self,
        documents: &[Document],
        history: Vec<ModelMessage>,
        lines: &str,
        question: &str,
    ) -> Result<Vec<ModelMessage>, NodeError> {
        let context = grounding::numbered(documents);
        let values =
            [("context", context.as_str()), ("question", question), ("chat_history", lines)];
        let system = self.response.fill(&self.node, &values)?;
        let mut messages = vec![ModelMessage::text(Speaker::System, system)];
        messages.extend(history);
        messages.push(ModelMessage::text(Speaker::User, question));
        Ok(messages)
    }

    async fn answer(&self, ctx: &TurnCtx, stream: bool) -> Result<RunOutput, NodeError> {
        let history = grounding::words(self.memory.messages(ctx).await?);
        let lines = grounding::lines(&history);
        let query = self.query(&lines, ctx).await?;
        let documents = retrievers::find(self.retriever.as_ref(), &query, ctx).await?;
        let messages = self.messages(&documents, history, &lines, &ctx.question)?;
        let reply = self.model.call(ChatRequest::new(messages), ctx, stream).await?;
        if self.returns_sources {
            return grounding::sourced(reply.text, &documents, ctx, stream).await;
        }
        Ok(RunOutput::text(reply.text))
    }
}

impl Runnable for ConversationalRetrievalQaChain {
    fn run<'a>(
        &'a self,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<RunOutput, NodeError>> {
        Box::pin(self.answer(ctx, stream))
    }
}

#[cfg(test)]
mod tests;
