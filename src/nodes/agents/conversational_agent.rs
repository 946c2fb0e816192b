//! Flowise `conversationalAgent`, version 3: an agent for models that cannot
//! call tools by themselves. The model writes what it wants as JSON in its
//! text; what it wrote and what a tool returned go back as messages.

mod blob;
mod words;

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use self::blob::Blob;
use super::findings::Findings;
use super::rounds::{Rounds, STOPPED};
use super::toolbox::{Request, Toolbox};
use super::trace::Trace;
use crate::chains::vision;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, Memory, RunOutput, Runnable};
use crate::model::{ChatRequest, ModelMessage, Speaker};
use crate::moderation;
use crate::rich_text::RichText;
use crate::spec::{Kind, NodeSpec, Param};
use crate::template::Template;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "conversationalAgent",
    category: "Agents",
    version: 3.0,
    about: "Talks with a person and uses tools, with any model that can write JSON.",
    params: &[
        Param::closed("tools", Kind::Nodes),
        Param::closed("model", Kind::Node),
        Param::closed("memory", Kind::Node),
        Param::open("systemMessage", Kind::Template),
        moderation::INPUT,
        Param::open("maxIterations", Kind::Integer),
    ],
    credential: None,
    build,
};

/// How often a run tells the model that its words are not in the form asked
/// for; after that they are taken as the answer.
const MAX_REMINDERS: usize = 2;

/// Models that were taught another form invent a tool's result after this.
const STOP: &str = "\nObservation";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let system = inputs.rich("systemMessage");
    let system = system.unwrap_or_else(|| RichText::source(words::DEFAULT_SYSTEM));
    moderation::guarded(
        inputs,
        ConversationalAgent {
            toolbox: Toolbox::connected(inputs)?,
            memory: inputs.memory("memory")?,
            model: inputs.chat_model("model")?,
            system: Template::parse(&system),
            rounds: Rounds::of(inputs)?,
            node: inputs.title(),
        },
    )
}

struct ConversationalAgent {
    toolbox: Toolbox,
    memory: Arc<dyn Memory>,
    model: Arc<dyn ChatModel>,
    system: Template,
    rounds: Rounds,
    /// Label and id, for errors.
    node: String,
}

impl ConversationalAgent {
    /// The system message, the remembered ones, and the question below the
    /// tools and the form of an answer.
    async fn messages(&self, ctx: &TurnCtx) -> Result<Vec<ModelMessage>, NodeError> {
        let mut messages = vec![ModelMessage::text(Speaker::System, self.system(ctx)?)];
        let question = words::task(&self.toolbox, &ctx.question);
        let mut last = vec![ModelMessage::text(Speaker::User, question)];
        vision::put_in_front(&mut last, vision::images(ctx, self.model.profile())?);
        messages.extend(self.memory.messages(ctx).await?);
        messages.extend(last);
        Ok(messages)
    }

    fn system(&self, ctx: &TurnCtx) -> Result<String, NodeError> {
        let question = |name: &str| (name == "input").then_some(Cow::Borrowed(&*ctx.question));
        let system = self.system.format(question).map_err(|name| NodeError::BadInput {
            node: self.node.clone(),
            input: "systemMessage".to_owned(),
            problem: format!("has no value for {{{name}}}; write {{{{{name}}}}} for the braces"),
        })?;
        Ok(format!("{system}{}", words::ABOVE_ALL))
    }

    /// Rounds of the model and its tools until there is an answer.
    async fn answer(&self, ctx: &TurnCtx) -> Result<RunOutput, NodeError> {
        let mut messages = self.messages(ctx).await?;
        let mut findings = Findings::default();
        let (mut n_rounds, mut n_reminders) = (0, 0);
        while self.rounds.may_begin(n_rounds, ctx) {
            n_rounds += 1;
            let stop = vec![STOP.to_owned()];
            let request = ChatRequest { stop, ..ChatRequest::new(messages.clone()) };
            let text = self.model.call(request, ctx, false).await?.text;
            let observation = match blob::read(&text) {
                Some(Blob::Answer(answer)) => return Ok(findings.output(answer)),
                None if n_reminders == MAX_REMINDERS => return Ok(findings.output(text)),
                None => {
                    n_reminders += 1;
                    words::REMINDER.to_owned()
                }
                Some(Blob::Call { tool, input }) => {
                    let (result, is_answer) = self.step(tool, input, &mut findings, ctx).await?;
                    if is_answer {
                        return Ok(findings.output(result));
                    }
                    words::result(&result)
                }
            };
            messages.push(ModelMessage::text(Speaker::Assistant, text));
            messages.push(ModelMessage::text(Speaker::User, observation));
        }
        Ok(findings.output(STOPPED))
    }

    /// Runs a tool: what it returned, and whether that is the answer.
    async fn step(
        &self,
        name: String,
        input: Value,
        findings: &mut Findings,
        ctx: &TurnCtx,
    ) -> Result<(String, bool), NodeError> {
        let arguments = self.arguments(&name, &input);
        let request = Request { name, arguments, shown: input };
        let outcome = self.toolbox.run(vec![request], &Trace::off(), ctx).await?.pop();
        let outcome = outcome.unwrap_or_default();
        let is_answer = outcome.is_answer;
        Ok((findings.add(outcome), is_answer))
    }

    /// The arguments that a tool's schema wants, out of what the model wrote: a
    /// text, an object, or an object in a text.
    fn arguments(&self, name: &str, input: &Value) -> Value {
        let tool = self.toolbox.find(name);
        let wants_text =
            tool.is_none_or(|(tool, _)| tool.parameters["properties"]["input"].is_object());
        match input {
            Value::Object(_) => input.clone(),
            Value::String(text) if !wants_text => match serde_json::from_str(text) {
                Ok(object @ Value::Object(_)) => object,
                _ => Value::Object(Map::new()),
            },
            Value::String(text) => json!({"input": text}),
            Value::Null => Value::Object(Map::new()),
            other => json!({"input": other.to_string()}),
        }
    }
}

impl Runnable for ConversationalAgent {
    /// Never streams: the model's words are JSON.
    fn run<'a>(
        &'a self,
        ctx: &'a TurnCtx,
        _stream: bool,
    ) -> BoxFuture<'a, Result<RunOutput, NodeError>> {
        Box::pin(self.answer(ctx))
    }
}

#[cfg(test)]
mod tests;
