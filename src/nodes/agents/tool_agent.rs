//! Flowise `toolAgent`, version 2: a model that calls tools through its
//! provider's own mechanism.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::clean::clean;
use super::findings::Findings;
use super::rounds::{Rounds, STOPPED};
use super::toolbox::{Request, Toolbox};
use super::trace::Trace;
use crate::chains::vision;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::events::EventSink;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, Memory, RunOutput, Runnable};
use crate::model::{ChatReply, ChatRequest, ModelMessage, Part, Speaker, ToolCall};
use crate::moderation;
use crate::prompts::{self, AnyPrompt, ChatPrompt};
use crate::rich_text::RichText;
use crate::spec::{Kind, NodeSpec, Param};
use crate::template::Template;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "toolAgent",
    category: "Agents",
    version: 2.0,
    about: "Talks with a person, remembers the conversation, and calls tools by itself.",
    params: &[
        Param::closed("tools", Kind::Nodes),
        Param::closed("memory", Kind::Node),
        Param::closed("model", Kind::Node),
        Param::closed("chatPromptTemplate", Kind::Node),
        Param::open("systemMessage", Kind::Template),
        moderation::INPUT,
        Param::open("maxIterations", Kind::Integer),
        Param::closed("enableDetailedStreaming", Kind::Boolean),
    ],
    credential: None,
    build,
};

/// The palette's text, where the author left none.
const DEFAULT_SYSTEM: &str = "You are a helpful AI assistant.";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let prompt = match inputs.chat_prompt("chatPromptTemplate")? {
        Some(prompt) => prompt,
        None => Arc::new(own_prompt(inputs.rich("systemMessage"))),
    };
    moderation::guarded(
        inputs,
        ToolAgent {
            toolbox: Toolbox::connected(inputs)?,
            memory: inputs.memory("memory")?,
            model: inputs.chat_model("model")?,
            prompt,
            rounds: Rounds::of(inputs)?,
            tells_steps: inputs.boolean("enableDetailedStreaming")?.unwrap_or(false),
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

struct ToolAgent {
    toolbox: Toolbox,
    memory: Arc<dyn Memory>,
    model: Arc<dyn ChatModel>,
    prompt: Arc<ChatPrompt>,
    rounds: Rounds,
    /// Whether a listening client hears of every step.
    tells_steps: bool,
    /// Label and id, for errors.
    node: String,
}

/// What a run has so far.
struct Run {
    /// The prompt, and the calls with their results.
    messages: Vec<ModelMessage>,
    findings: Findings,
    events: EventSink,
    trace: Trace,
}

/// How a run ends.
enum End {
    /// With the model's words, which a client has read as they came.
    Said(String),
    /// With the output of a tool that returns directly.
    Returned(String),
    /// With no more rounds.
    Stopped,
}

impl End {
    fn text(&self) -> &str {
        match self {
            Self::Said(text) | Self::Returned(text) => text,
            Self::Stopped => STOPPED,
        }
    }
}

impl ToolAgent {
    /// The prompt with the remembered messages before its last one, and the
    /// images before that one's words.
    async fn messages(&self, ctx: &TurnCtx) -> Result<Vec<ModelMessage>, NodeError> {
        let prompt = AnyPrompt::Chat(self.prompt.clone());
        let filled = prompt.messages(|name| self.prompt.value(name, &ctx.question));
        let mut messages = filled.map_err(|name| prompts::no_value(&self.node, &name))?;
        let mut last: Vec<_> = messages.pop().into_iter().collect();
        vision::put_in_front(&mut last, vision::images(ctx, self.model.profile())?);
        messages.extend(self.memory.messages(ctx).await?);
        messages.extend(last);
        Ok(messages)
    }

    async fn answer(&self, ctx: &TurnCtx, stream: bool) -> Result<RunOutput, NodeError> {
        let events = if stream { ctx.events.clone() } else { EventSink::none() };
        let trace = if self.tells_steps { Trace::to(&events) } else { Trace::off() };
        let messages = self.messages(ctx).await?;
        let mut run = Run { messages, findings: Findings::default(), events, trace };
        let end = self.work(&mut run, ctx, stream).await?;
        let Run { findings, events, .. } = run;
        if matches!(end, End::Stopped) {
            // Nobody said this yet: a client that reads tokens alone must get it.
            events.token(STOPPED).await?;
        }
        findings.announce(&events).await?;
        if let End::Returned(text) = &end {
            events.token(text).await?;
        }
        Ok(findings.output(clean(end.text())))
    }

    /// Rounds of the model and its tools until there is an answer.
    async fn work(&self, run: &mut Run, ctx: &TurnCtx, stream: bool) -> Result<End, NodeError> {
        let mut n_rounds = 0;
        while self.rounds.may_begin(n_rounds, ctx) {
            n_rounds += 1;
            let reply = self.model.call(self.request(&run.messages), ctx, stream).await?;
            if reply.tool_calls.is_empty() {
                return Ok(End::Said(reply.text));
            }
            // The first chunk opens the answer even where it only calls a tool.
            run.events.token("").await?;
            if let Some(text) = self.step(reply, run, ctx).await? {
                return Ok(End::Returned(text));
            }
        }
        Ok(End::Stopped)
    }

    fn request(&self, messages: &[ModelMessage]) -> ChatRequest {
        let tools = self.toolbox.definitions().cloned().collect();
        ChatRequest { tools, ..ChatRequest::new(messages.to_vec()) }
    }

    /// Runs the calls of a reply and writes them down for the next round; the
    /// output of a tool that returns directly is the answer.
    async fn step(
        &self,
        reply: ChatReply,
        run: &mut Run,
        ctx: &TurnCtx,
    ) -> Result<Option<String>, NodeError> {
        let requests = reply.tool_calls.iter().map(request).collect();
        let outcomes = self.toolbox.run(requests, &run.trace, ctx).await?;
        let is_answer = outcomes.last().is_some_and(|outcome| outcome.is_answer);
        let ids: Vec<_> = reply.tool_calls.iter().map(|call| call.id.clone()).collect();
        run.messages.push(called(reply));
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            let observation = ModelMessage::text(Speaker::Tool, run.findings.add(outcome));
            run.messages.push(ModelMessage { tool_call_id: Some(id), ..observation });
        }
        let last = run.messages.last().filter(|_| is_answer);
        Ok(last.map(ModelMessage::plain))
    }
}

fn request(call: &ToolCall) -> Request {
    let arguments = call.arguments.clone();
    Request { name: call.name.clone(), shown: arguments.clone(), arguments }
}

/// The model's reply as a message. Providers take back objects only, so what
/// was none is left out; the observation tells the model of it.
fn called(reply: ChatReply) -> ModelMessage {
    let parts = if reply.text.is_empty() { Vec::new() } else { vec![Part::Text(reply.text)] };
    let mut tool_calls = reply.tool_calls;
    for call in tool_calls.iter_mut().filter(|call| !call.arguments.is_object()) {
        call.arguments = Value::Object(Map::new());
    }
    ModelMessage { speaker: Speaker::Assistant, parts, tool_calls, tool_call_id: None }
}

impl Runnable for ToolAgent {
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
