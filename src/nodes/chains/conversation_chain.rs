//! Flowise `conversationChain`, version 3: a model with a memory.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Map;

use super::vision;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, Memory, RunOutput, Runnable};
use crate::model::{ChatRequest, ModelMessage, Speaker};
use crate::moderation;
use crate::prompts::{self, ChatPrompt};
use crate::rich_text::RichText;
use crate::spec::{Kind, NodeSpec, Param};
use crate::template::Template;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "conversationChain",
    category: "Chains",
    version: 3.0,
    about: "Talks with a person and remembers the conversation.",
    params: &[
        Param::closed("model", Kind::Node),
        Param::closed("memory", Kind::Node),
        Param::closed("chatPromptTemplate", Kind::Node),
        moderation::INPUT,
        Param::open("systemMessagePrompt", Kind::Template),
    ],
    credential: None,
    build,
};

/// What the model is told where the author said nothing: LangChain's text, as
/// recorded with Flowise 2.2.8.
const DEFAULT_SYSTEM: &str = "The following is a friendly conversation between a human and an AI. \
    The AI is talkative and provides lots of specific details from its context. If the AI does \
    not know the answer to a question, it truthfully says it does not know.";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let prompt = match inputs.chat_prompt("chatPromptTemplate")? {
        Some(prompt) => prompt,
        None => Arc::new(own_prompt(inputs.rich("systemMessagePrompt"))),
    };
    moderation::guarded(
        inputs,
        ConversationChain {
            model: inputs.chat_model("model")?,
            memory: inputs.memory("memory")?,
            prompt,
            node: inputs.title(),
        },
    )
}

/// The system message and `{input}`.
fn own_prompt(system: Option<RichText>) -> ChatPrompt {
    let system = system.unwrap_or_else(|| RichText::source(DEFAULT_SYSTEM));
    let messages = vec![
        (Speaker::System, Template::parse(&system)),
        (Speaker::User, Template::parse(&RichText::source("{input}"))),
    ];
    ChatPrompt { messages, values: Map::new() }
}

/// The prompt of a conversation that begins with this question and remembers nothing.
pub(super) fn first_words(question: &str) -> ChatRequest {
    ChatRequest::new(vec![
        ModelMessage::text(Speaker::System, DEFAULT_SYSTEM),
        ModelMessage::text(Speaker::User, question),
    ])
}

struct ConversationChain {
    model: Arc<dyn ChatModel>,
    memory: Arc<dyn Memory>,
    prompt: Arc<ChatPrompt>,
    /// Label and id, for errors.
    node: String,
}

impl ConversationChain {
    /// The first message of the prompt, the remembered ones, its last message:
    /// Flowise uses no others.
    async fn messages(&self, ctx: &TurnCtx) -> Result<Vec<ModelMessage>, NodeError> {
        let (last, rest) = match self.prompt.messages.split_last() {
            Some((last, rest)) => (Some(last), rest),
            None => (None, &[][..]),
        };
        let first = rest.first().map(|message| self.fill(message, &ctx.question)).transpose()?;
        let last = last.map(|message| self.fill(message, &ctx.question)).transpose()?;
        let mut messages = self.memory.messages(ctx).await?;
        messages.splice(0..0, first);
        messages.extend(last);
        Ok(messages)
    }

    fn fill(
        &self,
        (speaker, template): &(Speaker, Template),
        question: &str,
    ) -> Result<ModelMessage, NodeError> {
        let text = template.format(|name| self.prompt.value(name, question));
        let text = text.map_err(|name| prompts::no_value(&self.node, &name))?;
        Ok(ModelMessage::text(*speaker, text))
    }

    fn add_images(&self, messages: &mut Vec<ModelMessage>, ctx: &TurnCtx) -> Result<(), NodeError> {
        let profile = self.model.profile();
        let images = vision::images(ctx, profile)?;
        if profile.images_apart {
            vision::put_apart(messages, images);
        } else {
            vision::put_in_front(messages, images);
        }
        Ok(())
    }
}

impl Runnable for ConversationChain {
    fn run<'a>(
        &'a self,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<RunOutput, NodeError>> {
        Box::pin(async move {
            let mut messages = self.messages(ctx).await?;
            self.add_images(&mut messages, ctx)?;
            let reply = self.model.call(ChatRequest::new(messages), ctx, stream).await?;
            Ok(RunOutput::text(reply.text))
        })
    }
}

#[cfg(test)]
mod tests;
