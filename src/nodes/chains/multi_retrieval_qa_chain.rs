//! Flowise `multiRetrievalQAChain`, version 2: a model chooses which of
//! several named retrievers a question is answered from.
//!
//! Where it chooses none, or answers what cannot be understood, the question
//! is answered without documents. It is asked to choose once.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::{conversation_chain, grounding, retrieval_qa_chain};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, RunOutput, Runnable};
use crate::model::{ChatRequest, ModelMessage, Speaker};
use crate::moderation;
use crate::output_parsers;
use crate::retrieval::Retriever;
use crate::retrievers;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "multiRetrievalQAChain",
    category: "Chains",
    version: 2.0,
    about: "Chooses the documents to answer a question from.",
    params: &[
        Param::closed("model", Kind::Node),
        Param::closed(RETRIEVERS, Kind::Nodes),
        Param::open("returnSourceDocuments", Kind::Boolean),
        moderation::INPUT,
    ],
    credential: None,
    build,
};

const RETRIEVERS: &str = "vectorStoreRetriever";

/// What the model says where no source fits.
const NONE: &str = "DEFAULT";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let mut sources: Vec<Source> = Vec::new();
    for node in inputs.nodes(RETRIEVERS) {
        let source = Source::of(inputs, node)?;
        if sources.iter().any(|other| other.is_called(&source.name)) {
            let problem = format!("has two retrievers named {}; rename one", source.name);
            return Err(inputs.bad(RETRIEVERS, problem));
        }
        sources.push(source);
    }
    if sources.is_empty() {
        return Err(inputs.wrong_node(RETRIEVERS, "a vector store retriever", None));
    }
    moderation::guarded(
        inputs,
        MultiRetrievalQaChain {
            model: inputs.chat_model("model")?,
            router: router(&sources),
            sources,
            returns_sources: grounding::wants_sources(inputs)?,
        },
    )
}

/// A retriever with its name.
struct Source {
    name: String,
    description: String,
    retriever: Arc<dyn Retriever>,
}

impl Source {
    fn of(inputs: &Inputs, node: &Instance) -> Result<Self, NodeError> {
        let titled = match node {
            Instance::Retriever(retriever) => Some((retriever, retriever.title())),
            _ => None,
        };
        let Some((retriever, Some((name, description)))) = titled else {
            return Err(inputs.wrong_node(RETRIEVERS, "a vector store retriever", Some(node)));
        };
        Ok(Self {
            name: name.to_owned(),
            description: description.to_owned(),
            retriever: Arc::clone(retriever),
        })
    }

    fn is_called(&self, name: &str) -> bool {
        self.name.trim().to_lowercase() == name.trim().to_lowercase()
    }
}

/// What the model is told before it chooses.
fn router(sources: &[Source]) -> String {
    let line = |source: &Source| format!("{}: {}\n", source.name, source.description);
    let lines: String = sources.iter().map(line).collect();
    format!(
        "You do not answer the next message. You choose the source in which its answer is looked \
         up, by what each of them holds:\n\n{lines}\nReply with nothing but this JSON object:\n\
         ```json\n{{\"destination\": \"the name of one source, or {NONE} if none fits\", \
         \"next_inputs\": {{\"query\": \"the message, reworded where that helps the search\"}}}}\n\
         ```"
    )
}

/// The name and the query of a model's choice, if it made one.
fn choice(reply: &str) -> Option<(String, Option<String>)> {
    let choice = output_parsers::read_json(reply).ok()?;
    let name = choice.get("destination")?.as_str()?.to_owned();
    let inputs = choice.get("next_inputs");
    let query = match inputs {
        Some(Value::Object(map)) => map.get("query").or_else(|| map.get("input")),
        other => other,
    };
    let query = query.and_then(Value::as_str).filter(|query| !query.trim().is_empty());
    Some((name, query.map(str::to_owned)))
}

struct MultiRetrievalQaChain {
    model: Arc<dyn ChatModel>,
    router: String,
    sources: Vec<Source>,
    returns_sources: bool,
}

impl MultiRetrievalQaChain {
    /// The chosen retriever with what to search for, if one was chosen.
    async fn chosen(&self, ctx: &TurnCtx) -> Result<Option<(&dyn Retriever, String)>, NodeError> {
        if !self.model.writes() {
            return Ok(None);
        }
        let request = ChatRequest::new(vec![
            ModelMessage::text(Speaker::System, self.router.as_str()),
            ModelMessage::text(Speaker::User, ctx.question.as_ref()),
        ]);
        let reply = self.model.call(request, ctx, false).await?;
        let Some((name, query)) = choice(&reply.text) else { return Ok(None) };
        let source = self.sources.iter().find(|source| source.is_called(&name));
        let query = query.unwrap_or_else(|| ctx.question.to_string());
        Ok(source.map(|source| (source.retriever.as_ref(), query)))
    }

    async fn answer(&self, ctx: &TurnCtx, stream: bool) -> Result<RunOutput, NodeError> {
        let Some((retriever, query)) = self.chosen(ctx).await? else {
            let request = conversation_chain::first_words(&ctx.question);
            let reply = self.model.call(request, ctx, stream).await?;
            return Ok(RunOutput::text(reply.text));
        };
        let documents = retrievers::find(retriever, &query, ctx).await?;
        // The reworded question is for the search; the person's own is answered.
        let request = retrieval_qa_chain::request(&documents, &ctx.question);
        let reply = self.model.call(request, ctx, stream).await?;
        if self.returns_sources {
            return grounding::sourced(reply.text, &documents, ctx, stream).await;
        }
        Ok(RunOutput::text(reply.text))
    }
}

impl Runnable for MultiRetrievalQaChain {
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
