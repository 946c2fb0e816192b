//! One turn of a plan: binds the request, builds what it touches, runs the
//! ending node.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use parlor_actors::{SessionTail, TurnOutcome, TurnRunner};
use parlor_nodes::instance::Memory;
use parlor_nodes::{EventSink, Instance, RunOutput, Services, TurnCtx};
use parlor_schemas::{
    ChatId, ChatType, ErrorCode, Fault, HistoryItem, NewTurn, Remembered, Repetition, SessionKey,
    Timestamp, TraceId, TurnReply, message_ids,
};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::build::Builder;
use super::follow_up::FollowUp;
use super::overrides::Overrides;
use super::plan::{Plan, PlanInput};
use super::speech::{self, Speech};
use super::transcript::StoredTranscript;
use super::uploads::{self, TurnUploads};
use crate::running_keys::RunningKey;
use crate::spans;
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
    /// The span of the request, to which the turn's belongs.
    pub span: Span,
    /// The request's id in logs and traces.
    pub trace_id: TraceId,
    /// The request's `Idempotency-Key`, held until its turn is over.
    pub repetition: Option<RunningKey>,
    /// The id of the API key that let the request in, if it took one.
    pub api_key: Option<Arc<str>>,
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

    fn api_key(&self) -> Option<Arc<str>> {
        self.api_key.clone()
    }

    fn is_streamed(&self) -> bool {
        self.events.is_open()
    }

    fn run(
        self: Box<Self>,
        tail: SessionTail,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<TurnOutcome, Fault>> {
        let span = spans::turn(&self.span, &self.key);
        spans::within(span, self.answer(tail, cancel)).boxed_local()
    }
}

impl BoundTurn {
    async fn answer(
        mut self: Box<Self>,
        tail: SessionTail,
        cancel: CancellationToken,
    ) -> Result<TurnOutcome, Fault> {
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
        let mut outcome = self.outcome(output, prompts, &ctx, stream)?;
        if let Some(record) = &mut outcome.record {
            record.file_uploads = received.row;
        }
        Ok(outcome)
    }

    fn context(&self, tail: SessionTail, cancel: CancellationToken) -> TurnCtx {
        let transcript =
            StoredTranscript { tail, key: self.key.clone(), store: self.store.clone() };
        let (chatflow, chat_id) = (self.key.chatflow, self.chat_id.clone());
        TurnCtx {
            session: self.key.session.clone(),
            history: self.history.as_slice().into(),
            transcript: Arc::new(transcript),
            events: self.events.clone(),
            cancel,
            ..TurnCtx::apart(chatflow, chat_id, &self.question, self.services.clone())
        }
    }

    /// Builds the nodes that the request touches, in order, and runs the last.
    async fn run_plan(&self, ctx: &TurnCtx, stream: bool) -> Result<RunOutput, Fault> {
        let builder = Builder {
            plan: &self.plan,
            overrides: &self.overrides,
            variables: &self.variables,
            input: &self.question,
            attached: self.uploads.attached(),
            ctx,
        };
        let built = builder.build_all().await?;
        match built.last() {
            Some(Instance::Runnable(ending)) => {
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
    fn memory<'a>(&self, built: &'a [Instance]) -> Option<&'a dyn Memory> {
        let (_, input) =
            self.plan.nodes.last()?.inputs.iter().find(|(name, _)| name == "memory")?;
        let PlanInput::Nodes(places) = input else { return None };
        match built.get(*places.first()?)? {
            Instance::Memory(memory) => Some(memory.as_ref()),
            _ => None,
        }
    }

    fn outcome(
        self: Box<Self>,
        output: RunOutput,
        prompts: Option<String>,
        ctx: &TurnCtx,
        streamed: bool,
    ) -> Result<TurnOutcome, Fault> {
        let answered_at = Timestamp::now();
        let (question_id, answer_id) = message_ids(answered_at);
        let usage = ctx.meter.total();
        let columns = ["sourceDocuments", "usedTools", "artifacts", "fileAnnotations"];
        let answer_columns: Map<String, Value> = columns
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), output.fields.get(*name)?.clone())))
            .collect();
        let record = NewTurn {
            question_id,
            answer_id,
            question: self.question.clone(),
            answer: output.stored_answer(),
            asked_at: self.asked_at,
            answered_at,
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
        let repetition = self.repetition.as_ref().filter(|_| self.stores);
        let remembered = repetition.map(|key| remembered(key.repetition(), &reply)).transpose()?;
        let held = self.repetition.map(|key| Box::new(key) as Box<dyn Any + Send>);
        Ok(TurnOutcome { record: self.stores.then_some(record), remembered, held, reply })
    }
}

fn remembered(repetition: &Repetition, reply: &TurnReply) -> Result<Remembered, Fault> {
    let reply = serde_json::to_vec(reply).map_err(|_| {
        Fault::new(ErrorCode::Internal, "the answer cannot be written as JSON; nothing was stored")
    })?;
    Ok(Remembered { repetition: repetition.clone(), reply })
}
