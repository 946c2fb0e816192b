//! Flowise `llmChain`, version 3: a prompt filled and sent to a model.
//!
//! The output `outputPrediction` is the same chain: the engine runs it and
//! hands its answer on. With an output parser the answer is `json`, and is
//! never streamed.

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::vision;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, OutputParser, RunOutput, Runnable};
use crate::model::{ChatRequest, ModelMessage};
use crate::moderation;
use crate::output_parsers;
use crate::prompts::{AnyPrompt, value_text};
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "llmChain",
    category: "Chains",
    version: 3.0,
    about: "Fills a prompt with the question and asks a model.",
    params: &[
        Param::closed("model", Kind::Node),
        Param::closed("prompt", Kind::Node),
        Param::closed("outputParser", Kind::Node),
        moderation::INPUT,
        Param::open("chainName", Kind::Text),
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let model = inputs.chat_model("model")?;
    let prompt = AnyPrompt::connected(inputs, "prompt")?;
    let parser = output_parsers::connected(inputs, "outputParser")?;
    moderation::guarded(inputs, LlmChain { model, prompt, parser })
}

struct LlmChain {
    model: Arc<dyn ChatModel>,
    prompt: AnyPrompt,
    parser: Option<Arc<dyn OutputParser>>,
}

impl LlmChain {
    /// The prompt with its values and the parser's instructions; the one
    /// variable that they leave open is the question.
    fn messages(&self, question: &str) -> Result<Vec<ModelMessage>, NodeError> {
        let instructions = self.parser.as_ref().map(|parser| parser.instructions());
        let mut open = self.prompt.open_variables();
        let n_variables = open.len();
        open.retain(|name| instructions.is_none() || *name != output_parsers::INSTRUCTIONS);
        let author_placed_them = open.len() < n_variables;
        if open.len() > 1 {
            return Err(missing(&open));
        }
        let values = self.prompt.values();
        let value = |name: &str| match &instructions {
            _ if open.contains(&name) => Some(Cow::Borrowed(question)),
            Some(told) if name == output_parsers::INSTRUCTIONS => {
                Some(Cow::Borrowed(told.as_str()))
            }
            _ => values.get(name).and_then(value_text),
        };
        let mut messages = self.prompt.messages(value).map_err(|name| missing(&[&name]))?;
        if let (Some(told), false) = (&instructions, author_placed_them) {
            let is_one_text = matches!(self.prompt, AnyPrompt::Text(_));
            output_parsers::instruct(&mut messages, told, is_one_text);
        }
        Ok(messages)
    }

    async fn parsed(
        &self,
        parser: &dyn OutputParser,
        request: ChatRequest,
        ctx: &TurnCtx,
    ) -> Result<RunOutput, NodeError> {
        let reply = self.model.call(request, ctx, false).await?;
        let value = output_parsers::shape(parser, self.model.as_ref(), &reply.text, ctx).await?;
        Ok(RunOutput::json(value))
    }
}

/// The words of Flowise, which clients show as they are. A request can mend it
/// with `overrideConfig.promptValues`.
fn missing(names: &[&str]) -> NodeError {
    NodeError::BadRequest(format!("Please provide Prompt Values for: {}", names.join(", ")))
}

impl Runnable for LlmChain {
    fn run<'a>(
        &'a self,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<RunOutput, NodeError>> {
        Box::pin(async move {
            let mut messages = self.messages(&ctx.question)?;
            vision::put_in_front(&mut messages, vision::images(ctx, self.model.profile())?);
            let request = ChatRequest::new(messages);
            if let Some(parser) = &self.parser {
                return self.parsed(parser.as_ref(), request, ctx).await;
            }
            let reply = self.model.call(request, ctx, stream).await?;
            Ok(RunOutput::text(reply.text))
        })
    }
}

#[cfg(test)]
mod tests;
