//! Filling and emptying a vector store: binds the request to what fills the
//! store, builds it, and hands it to the store's actor.

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture, ready};
use parlor_actors::{Progress, UpsertRunner};
use parlor_nodes::ctx::{AgentBudget, Kept, UsageMeter};
use parlor_nodes::vector_stores::{
    Selection, UpsertCounts, UpsertOptions, UpsertReport, UpsertWatch, VectorStore,
};
use parlor_nodes::{EventSink, Instance, Services, Transcript, TurnCtx};
use parlor_schemas::{
    ChatId, ChatflowId, ErrorCode, Fault, SessionId, Turn, UnreadFile, UpsertProgress, UpsertReply,
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::build::Builder;
use super::cache::ReadyFlow;
use super::overrides::{self, Overrides};
use super::targets::Target;
use super::uploads::FormFile;
use super::upsert_record::{Given, flow_data};

/// Chunks that an index is told to delete at once.
const DELETED_AT_ONCE: usize = 1_000;

/// What a request says to an upsert.
pub struct UpsertRequest {
    /// Its `overrideConfig`.
    pub overrides: Map<String, Value>,
    /// The files that came along.
    pub files: Vec<FormFile>,
    /// The chat that its chunks belong to, where the store keeps chats apart.
    pub chat_id: ChatId,
    /// Its `question`, which saved texts may mention.
    pub question: String,
    /// How it is asked for.
    pub options: UpsertOptions,
}

/// A store that is ready to be filled.
pub struct StoreStep {
    /// Id of its node.
    pub node_id: String,
    /// `flowData` of its row in the history.
    pub flow_data: Vec<Value>,
    /// By what its actor is found.
    pub store: Arc<str>,
    /// What fills it.
    pub runner: Box<dyn UpsertRunner>,
}

/// Fills a store.
struct StoreUpsert {
    built: BuiltStore,
    options: UpsertOptions,
    /// Files that no loader takes, where the caller allowed that.
    left_out: Vec<UnreadFile>,
}

/// A vector store as a request sees it.
#[derive(Clone)]
pub struct BuiltStore {
    store: Arc<VectorStore>,
    ctx: TurnCtx,
}

/// Binds a request to the stores that it fills. Every file must be taken by a
/// loader of at least one of them; a lenient caller's files by one of all.
///
/// # Errors
/// [`ErrorCode::BadRequest`] naming a file or a key; what a node says of its
/// inputs.
pub async fn bind(
    flow: &ReadyFlow,
    targets: Vec<Target>,
    request: UpsertRequest,
    services: &Arc<dyn Services>,
) -> Result<Vec<StoreStep>, Fault> {
    let mut bound = Vec::with_capacity(targets.len());
    let mut left: Option<Vec<String>> = None;
    for target in targets {
        let mut taken = overrides::parse(&request.overrides, &target.plan, &flow.policy)?;
        let untaken = taken.take_files(&request.files, &target.plan, &flow.policy);
        left = Some(match left {
            None => untaken,
            Some(left) => left.into_iter().filter(|name| untaken.contains(name)).collect(),
        });
        bound.push((target, taken));
    }
    let left = left.unwrap_or_default();
    let leaves_out = request.options.keep_going && left.len() < request.files.len();
    if let (Some(name), false) = (left.first(), leaves_out) {
        return Err(untaken_file(name));
    }
    let mut left_out: Vec<UnreadFile> = left.into_iter().map(untaken).collect();
    let mut ready = Vec::with_capacity(bound.len());
    for (target, taken) in bound {
        let ctx = context(flow.chatflow.id, &request.chat_id, &request.question, services);
        let given = Given { raw: &request.overrides, taken: &taken };
        let built = build(flow, &target, &taken, ctx).await?;
        // Told once, however many stores there are.
        let left_out = std::mem::take(&mut left_out);
        ready.push(StoreStep {
            flow_data: flow_data(&target.nodes, &given),
            node_id: target.id,
            store: built.identity(),
            runner: Box::new(StoreUpsert { built, options: request.options, left_out }),
        });
    }
    Ok(ready)
}

/// The stores as they are saved, for who looks after them.
///
/// # Errors
/// What a node says of its inputs.
pub async fn saved(
    flow: &ReadyFlow,
    target: &Target,
    services: &Arc<dyn Services>,
) -> Result<BuiltStore, Fault> {
    let ctx = context(flow.chatflow.id, &ChatId::random(), "", services);
    build(flow, target, &Overrides::default(), ctx).await
}

async fn build(
    flow: &ReadyFlow,
    target: &Target,
    overrides: &Overrides,
    ctx: TurnCtx,
) -> Result<BuiltStore, Fault> {
    let builder = Builder {
        plan: &target.plan,
        overrides,
        variables: &flow.variables,
        input: &ctx.question,
        attached: "",
        ctx: &ctx,
    };
    match builder.build_all().await?.pop() {
        Some(Instance::VectorStore(store)) => Ok(BuiltStore { store, ctx }),
        _ => {
            let message = format!("{} is no vector store that can be filled", target.id);
            Err(Fault::new(ErrorCode::InvalidFlow, message))
        }
    }
}

fn untaken_file(name: &str) -> Fault {
    let shown: String = name.chars().take(80).collect();
    let message = format!(
        "no document loader that requests may change takes the file {}: connect one to the \
         vector store, or enable its file input for overrides",
        shown.escape_debug()
    );
    Fault::new(ErrorCode::BadRequest, message)
}

fn untaken(name: String) -> UnreadFile {
    UnreadFile { name, problem: "is taken by no document loader of this chatflow".to_owned() }
}

fn context(
    chatflow: ChatflowId,
    chat_id: &ChatId,
    question: &str,
    services: &Arc<dyn Services>,
) -> TurnCtx {
    TurnCtx {
        chatflow,
        chat_id: chat_id.clone(),
        session: SessionId::from(chat_id),
        question: question.into(),
        history: Arc::new([]),
        uploads: Arc::new([]),
        sees_images: false,
        transcript: Arc::new(NoTranscript),
        events: EventSink::none(),
        cancel: CancellationToken::new(),
        meter: Arc::new(UsageMeter::default()),
        kept: Arc::new(Kept::default()),
        agents: AgentBudget::default(),
        services: services.clone(),
    }
}

/// An upsert is no part of a conversation.
struct NoTranscript;

impl Transcript for NoTranscript {
    fn last(&self, _n_turns: Option<usize>) -> BoxFuture<'_, Result<Vec<Arc<Turn>>, Fault>> {
        ready(Ok(Vec::new())).boxed()
    }
}

impl BuiltStore {
    /// By what its actor is found.
    pub fn identity(&self) -> Arc<str> {
        self.store.index.identity(&self.ctx).into()
    }

    fn for_run(mut self, cancel: CancellationToken) -> (Arc<VectorStore>, TurnCtx) {
        self.ctx.cancel = cancel;
        (self.store, self.ctx)
    }
}

impl UpsertRunner for StoreUpsert {
    fn run(
        self: Box<Self>,
        progress: Progress,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<UpsertReply, Fault>> {
        async move {
            let (store, ctx) = self.built.for_run(cancel);
            let report = store.upsert(self.options, &Watch(progress), &ctx).await?;
            let mut reply = reply(report);
            reply.failures.extend(self.left_out);
            Ok(reply)
        }
        .boxed_local()
    }
}

/// Takes chunks out of a store, in its place among the upserts.
pub struct StoreRemoval {
    /// The store.
    pub built: BuiltStore,
    /// Which chunks.
    pub selection: Selection,
}

impl UpsertRunner for StoreRemoval {
    fn run(
        self: Box<Self>,
        _progress: Progress,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<UpsertReply, Fault>> {
        async move {
            let (store, ctx) = self.built.for_run(cancel);
            let num_deleted = store.remove(&self.selection, &ctx).await?;
            Ok(UpsertReply { num_deleted, ..UpsertReply::default() })
        }
        .boxed_local()
    }
}

/// Takes out what an upsert announced that a crash ended.
pub struct StoreTidying(pub BuiltStore);

impl UpsertRunner for StoreTidying {
    fn run(
        self: Box<Self>,
        _progress: Progress,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<UpsertReply, Fault>> {
        async move {
            let (store, ctx) = self.0.for_run(cancel);
            let (ledger, identity) = (ctx.services.ledger()?, store.index.identity(&ctx));
            let announced = ledger.announced(&identity).await?;
            let entries = ledger.entries(&identity).await?;
            // What was there before the upsert belongs to an origin.
            let settled: HashSet<Uuid> =
                entries.into_iter().flat_map(|entry| entry.chunks).collect();
            let left: Vec<Uuid> =
                announced.into_iter().filter(|id| !settled.contains(id)).collect();
            let mut num_deleted = 0;
            for left in left.chunks(DELETED_AT_ONCE) {
                num_deleted += store.index.delete(left, &ctx).await?;
            }
            ledger.settle(&identity, Vec::new()).await?;
            Ok(UpsertReply { num_deleted, ..UpsertReply::default() })
        }
        .boxed_local()
    }
}

struct Watch(Progress);

impl UpsertWatch for Watch {
    fn progress(&self, counts: UpsertCounts) {
        self.0.report(UpsertProgress {
            files: counts.files as u64,
            chunks: counts.chunks as u64,
            skipped: counts.skipped as u64,
            embedded: counts.embedded as u64,
            written: counts.written as u64,
            ..UpsertProgress::default()
        });
    }
}

fn reply(report: UpsertReport) -> UpsertReply {
    let failures = report.failures.into_iter();
    let failures =
        failures.map(|failure| UnreadFile { name: failure.name, problem: failure.problem });
    UpsertReply {
        num_added: report.num_added as u64,
        num_updated: report.num_updated as u64,
        num_skipped: report.num_skipped as u64,
        num_deleted: report.num_deleted as u64,
        total_keys: report.total_keys as u64,
        has_records: report.has_records,
        added_docs: report.added.iter().map(|document| json!(document)).collect(),
        failures: failures.collect(),
    }
}
