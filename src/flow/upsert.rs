//! Binds a request to the vector stores that it fills, and builds them.

use std::sync::Arc;

use parlor_actors::UpsertRunner;
use parlor_nodes::vector_stores::UpsertOptions;
use parlor_nodes::{Instance, Services, TurnCtx};
use parlor_schemas::{ChatId, ErrorCode, Fault, UnreadFile, shown};
use serde_json::{Map, Value};

use super::build::Builder;
use super::cache::ReadyFlow;
use super::overrides::{self, Overrides};
use super::targets::Target;
use super::uploads::FormFile;
use super::upsert_record::{Given, flow_data};
use super::upsert_work::{BuiltStore, StoreUpsert};
use crate::spans;

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

/// A request bound to the stores that it fills, which are not built yet.
pub struct Bound {
    targets: Vec<(Target, Overrides, Vec<Value>)>,
    left_out: Vec<UnreadFile>,
    chat_id: ChatId,
    question: String,
    options: UpsertOptions,
}

/// Binds a request to the stores that it fills. Every file must be taken by a
/// loader of at least one of them; a lenient caller's files by one of all.
/// Decodes what the request brings, which takes long where that is much.
///
/// # Errors
/// [`ErrorCode::BadRequest`] naming a file or a key.
pub fn bind(
    flow: &ReadyFlow,
    targets: Vec<Target>,
    request: UpsertRequest,
) -> Result<Bound, Fault> {
    let UpsertRequest { overrides: raw, files, chat_id, question, options } = request;
    let mut bound = Vec::with_capacity(targets.len());
    let mut left: Option<Vec<String>> = None;
    for target in targets {
        let mut taken = overrides::parse(&raw, &target.plan, &flow.policy)?;
        let untaken = taken.take_files(&files, &target.plan, &flow.policy);
        left = Some(match left {
            None => untaken,
            Some(left) => left.into_iter().filter(|name| untaken.contains(name)).collect(),
        });
        let flow_data = flow_data(&target.nodes, &Given { raw: &raw, taken: &taken });
        bound.push((target, taken, flow_data));
    }
    let left = left.unwrap_or_default();
    let leaves_out = options.keep_going && left.len() < files.len();
    if let (Some(name), false) = (left.first(), leaves_out) {
        return Err(untaken_file(name));
    }
    let left_out = left.into_iter().map(untaken).collect();
    Ok(Bound { targets: bound, left_out, chat_id, question, options })
}

impl Bound {
    /// Builds the stores.
    ///
    /// # Errors
    /// What a node says of its inputs.
    pub async fn build(
        self,
        flow: &ReadyFlow,
        services: &Arc<dyn Services>,
    ) -> Result<Vec<StoreStep>, Fault> {
        let Self { targets, mut left_out, chat_id, question, options } = self;
        let mut ready = Vec::with_capacity(targets.len());
        for (target, taken, flow_data) in targets {
            let ctx =
                TurnCtx::apart(flow.chatflow.id, chat_id.clone(), &question, services.clone());
            let built = build(flow, &target, &taken, ctx).await?;
            // Told once, however many stores there are.
            let left_out = std::mem::take(&mut left_out);
            ready.push(StoreStep {
                flow_data,
                node_id: target.id,
                store: built.identity(),
                runner: Box::new(StoreUpsert {
                    span: spans::upsert(flow.chatflow.id),
                    built,
                    options,
                    left_out,
                }),
            });
        }
        Ok(ready)
    }
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
    let ctx = TurnCtx::apart(flow.chatflow.id, ChatId::random(), "", services.clone());
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
    let message = format!(
        "no document loader that requests may change takes the file {}: connect one to the \
         vector store, or enable its file input for overrides",
        shown(name, 80)
    );
    Fault::new(ErrorCode::BadRequest, message)
}

fn untaken(name: String) -> UnreadFile {
    UnreadFile { name, problem: "is taken by no document loader of this chatflow".to_owned() }
}
