//! One turn of a plan: binds the request, builds what it touches, runs the
//! ending node.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use parlor_actors::{SessionTail, TurnOutcome, TurnRunner};
use parlor_nodes::ctx::{AgentBudget, Kept, UsageMeter};
use parlor_nodes::instance::Memory;
use parlor_nodes::{EventSink, Instance, NodeError, RunOutput, Services, TurnCtx};
use parlor_schemas::{
    ChatId, ChatType, ErrorCode, Fault, HistoryItem, NewTurn, SessionKey, Timestamp, TraceId,
    TurnReply,
};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::follow_up::FollowUp;
use super::overrides::Overrides;
use super::plan::{Plan, PlanInput, PlanNode, resolve_input};
use super::speech::{self, Speech};
use super::text::Reference;
use super::transcript::{StoredTranscript, history_text};
use super::uploads::{self, TurnUploads};
use crate::store::History;

/// A request bound to a plan, ready for its session's actor.
pub struct BoundTurn {
    /// The compiled flow.
    pub plan: Arc<Plan>,
    /// The conversation.
    pub key: SessionKey,
    /// The client's chat id.
    pub chat_id: ChatId,
    /// The door.
    pub chat_type: ChatType,
    /// The person's words.
    pub question: String,
    /// Messages put before the stored ones.
    pub history: Vec<HistoryItem>,
    /// Images, recordings and files.
    pub uploads: TurnUploads,
    /// What turns recordings into words.
    pub speech: Option<Arc<Speech>>,
    /// What the request changes.
    pub overrides: Overrides,
    /// The stored variables by name.
    pub variables: Arc<HashMap<String, String>>,
    /// Address that the person left.
    pub lead_email: Option<String>,
    /// Suggests what to ask next, where the chatflow wants that.
    pub follow_up: Option<Arc<FollowUp>>,
    /// Whether the turn is stored.
    pub stores: bool,
    /// When the request arrived.
    pub asked_at: Timestamp,
    /// The request's id in logs and traces.
    pub trace_id: TraceId,
    /// Where events go; closed for an answer in one piece.
    pub events: EventSink,
    /// Where older turns are read.
    pub store: History,
    /// What nodes may use.
    pub services: Arc<dyn Services>,
}

impl TurnRunner for BoundTurn {
    fn chat_id(&self) -> Option<ChatId> {
        Some(self.chat_id.clone())
    }

    fn run(
        mut self: Box<Self>,
        tail: SessionTail,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<TurnOutcome, Fault>> {
        async move {
            let sees_images = uploads::sees_images(&self.plan);
            let received = self.uploads.receive(self.key.chatflow, &self.chat_id, sees_images);
            let mut received = received.await?;
            let mut ctx = self.context(tail, cancel);
            ctx.sees_images = sees_images;
            ctx.uploads = std::mem::take(&mut received.images).into();
            if let Some(speech) = &self.speech
                && let Some(words) = speech::words(speech, &received.clips, &ctx).await?
            {
                self.question = words;
            }
            ctx.question = self.uploads.in_front_of(&self.question).into();
            let stream = ctx.events.is_open();
            let output = self.run_plan(&ctx, stream).await?;
            let prompts = match &self.follow_up {
                Some(follow_up) => follow_up.suggest(&output.stored_answer(), &ctx).await,
                None => None,
            };
            // What is not kept is gone with `received`.
            if self.stores {
                received.keep().await?;
            }
            let mut outcome = self.outcome(output, prompts, &ctx, stream);
            if let Some(record) = &mut outcome.record {
                record.file_uploads = received.row;
            }
            Ok(outcome)
        }
        .boxed_local()
    }
}

impl BoundTurn {
    fn context(&self, tail: SessionTail, cancel: CancellationToken) -> TurnCtx {
        TurnCtx {
            chatflow: self.key.chatflow,
            chat_id: self.chat_id.clone(),
            session: self.key.session.clone(),
            question: self.question.as_str().into(),
            history: self.history.as_slice().into(),
            uploads: Arc::new([]),
            sees_images: false,
            transcript: Arc::new(StoredTranscript {
                tail,
                key: self.key.clone(),
                store: self.store.clone(),
            }),
            events: self.events.clone(),
            cancel,
            meter: Arc::new(UsageMeter::default()),
            kept: Arc::new(Kept::default()),
            agents: AgentBudget::default(),
            services: self.services.clone(),
        }
    }

    /// Builds the nodes that the request touches, in order, and runs the last.
    async fn run_plan(&self, ctx: &TurnCtx, stream: bool) -> Result<RunOutput, Fault> {
        let mut built: Vec<Built> = Vec::with_capacity(self.plan.nodes.len());
        for (place, node) in self.plan.nodes.iter().enumerate() {
            let mut next = self.instance(place, node, &built, ctx).await?;
            if let (true, Instance::Runnable(chain)) = (node.runs_at_build(), &next.instance) {
                let text = chain.run(ctx, false).await?.prediction();
                next.instance = Instance::Text(text.into());
            }
            built.push(next);
        }
        match built.last() {
            Some(Built { instance: Instance::Runnable(ending), .. }) => {
                let output = ending.run(ctx, stream).await?;
                if let Some(memory) = self.memory(&built) {
                    memory.remember(&output.stored_answer(), ctx).await?;
                }
                Ok(output)
            }
            _ => Err(Fault::new(ErrorCode::InvalidFlow, "the ending node of this flow cannot run")),
        }
    }

    /// The memory that is connected to the ending node.
    fn memory<'a>(&self, built: &'a [Built]) -> Option<&'a dyn Memory> {
        let (_, input) =
            self.plan.nodes.last()?.inputs.iter().find(|(name, _)| name == "memory")?;
        let PlanInput::Nodes(places) = input else { return None };
        match &built.get(*places.first()?)?.instance {
            Instance::Memory(memory) => Some(memory.as_ref()),
            _ => None,
        }
    }

    /// The shared plan's instance, unless the request changes the node or one
    /// that feeds it.
    async fn instance(
        &self,
        place: usize,
        node: &PlanNode,
        built: &[Built],
        ctx: &TurnCtx,
    ) -> Result<Built, NodeError> {
        let is_changed = self.overrides.inputs.keys().any(|(at, _)| *at == place)
            || node.sources().any(|at| built.get(at).is_some_and(|source| source.is_own));
        if let (Some(fixed), false) = (&node.fixed, is_changed) {
            return Ok(Built { instance: fixed.clone()?, is_own: false });
        }
        let history = if mentions_history(node) { history_text(ctx).await? } else { String::new() };
        let lookup = |reference: &Reference| self.lookup(reference, built, &history, ctx);
        let instance = |at: usize| built.get(at).map(|built| built.instance.clone());
        // What the request gives comes last, and so in place of what was saved.
        let given = self.overrides.inputs.iter().filter(|((at, _), _)| *at == place);
        let given = given.map(|((_, name), input)| (name, input));
        let values = node.inputs.iter().map(|(name, input)| (name, input)).chain(given);
        let values = values
            .map(|(name, input)| (name.clone(), resolve_input(input, &lookup, &instance)))
            .collect();
        Ok(Built { instance: node.build(values)?, is_own: true })
    }

    fn lookup(
        &self,
        reference: &Reference,
        built: &[Built],
        history: &str,
        ctx: &TurnCtx,
    ) -> Option<String> {
        match reference {
            Reference::Question => Some(ctx.question.to_string()),
            Reference::ChatHistory => Some(history.to_owned()),
            Reference::FileAttachment => Some(self.uploads.attached().to_owned()),
            Reference::Variable(name) => self.variable(name),
            Reference::Flow(name) => self.flow_value(name),
            Reference::Node { id, path } => {
                let place = self.plan.nodes.iter().position(|node| node.id == *id)?;
                output_text(&built.get(place)?.instance, path)
            }
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        match self.overrides.variables.get(name) {
            Some(Value::Null) | None => self.variables.get(name).cloned(),
            Some(value) => Some(as_text(value)),
        }
    }

    /// Parlor's own values come first: a request cannot shadow them.
    fn flow_value(&self, name: &str) -> Option<String> {
        match name {
            "chatflowid" | "chatflowId" => Some(self.key.chatflow.to_string()),
            "sessionId" => Some(self.key.session.to_string()),
            "chatId" => Some(self.chat_id.to_string()),
            "input" => Some(self.question.clone()),
            other => self.overrides.flow.get(other).map(as_text),
        }
    }

    fn outcome(
        self: Box<Self>,
        output: RunOutput,
        prompts: Option<String>,
        ctx: &TurnCtx,
        streamed: bool,
    ) -> TurnOutcome {
        let answer_id = Uuid::new_v4();
        let usage = ctx.meter.total();
        let columns = ["sourceDocuments", "usedTools", "artifacts", "fileAnnotations"];
        let answer_columns: Map<String, Value> = columns
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), output.fields.get(*name)?.clone())))
            .collect();
        let record = NewTurn {
            question_id: Uuid::new_v4(),
            answer_id,
            question: self.question.clone(),
            answer: output.stored_answer(),
            asked_at: self.asked_at,
            answered_at: Timestamp::now(),
            chat_id: self.chat_id.clone(),
            chat_type: self.chat_type,
            memory_type: self.plan.memory_type.clone(),
            lead_email: self.lead_email,
            file_uploads: None,
            answer_columns,
            usage,
            memory_state: ctx.kept.take(),
            follow_up_prompts: prompts.clone(),
        };
        let reply = TurnReply {
            result: output.fields,
            question: self.question,
            chat_id: self.chat_id,
            chat_message_id: answer_id,
            follow_up_prompts: prompts,
            is_stream_valid: streamed,
            session_id: self.key.session.to_string(),
            memory_type: self.plan.memory_type.clone(),
            usage,
            trace_id: self.trace_id,
        };
        TurnOutcome { record: self.stores.then_some(record), reply }
    }
}

/// A node of this turn.
struct Built {
    instance: Instance,
    /// Built for this turn, not the shared plan's.
    is_own: bool,
}

fn mentions_history(node: &PlanNode) -> bool {
    use super::text::{Segment, references};
    let found = |segments: &[Segment]| references(segments).any(|r| *r == Reference::ChatHistory);
    node.inputs.iter().any(|(_, input)| match input {
        PlanInput::Text(segments) => found(segments),
        PlanInput::Json(tree) => {
            let mut any = false;
            tree.texts(&mut |segments| any |= found(segments));
            any
        }
        PlanInput::Nodes(_) => false,
    })
}

/// The text of another node's output, or of a part of it where it is JSON.
fn output_text(instance: &Instance, path: &[String]) -> Option<String> {
    let text = match instance {
        Instance::Text(text) => text.to_string(),
        Instance::Documents(documents) => serde_json::to_string(documents).ok()?,
        _ => return None,
    };
    if path.is_empty() {
        return Some(text);
    }
    let mut value: &Value = &serde_json::from_str(&text).ok()?;
    for key in path {
        value = match key.parse::<usize>() {
            Ok(index) if value.is_array() => value.get(index)?,
            _ => value.get(key)?,
        };
    }
    Some(as_text(value))
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
