//! What the actor of a vector store runs: filling it, taking chunks out of it,
//! and tidying it after a crash.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use parlor_actors::{Progress, UpsertRunner};
use parlor_nodes::TurnCtx;
use parlor_nodes::vector_stores::{
    Selection, UpsertCounts, UpsertOptions, UpsertReport, UpsertWatch, VectorStore,
};
use parlor_schemas::{Fault, UnreadFile, UpsertProgress, UpsertReply};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::spans;

/// A vector store as a request sees it.
#[derive(Clone)]
pub struct BuiltStore {
    pub(super) store: Arc<VectorStore>,
    pub(super) ctx: TurnCtx,
}

/// Fills a store.
pub(super) struct StoreUpsert {
    /// What traces tell of it.
    pub(super) span: Span,
    pub(super) built: BuiltStore,
    pub(super) options: UpsertOptions,
    /// Files that no loader takes, where the caller allowed that.
    pub(super) left_out: Vec<UnreadFile>,
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
        let span = self.span.clone();
        let filling = async move {
            let (store, ctx) = self.built.for_run(cancel);
            let report = store.upsert(self.options, &Watch(progress), &ctx).await?;
            let mut reply = reply(report);
            reply.failures.extend(self.left_out);
            Ok(reply)
        };
        spans::within(span, filling).boxed_local()
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
            let num_deleted = store.recover(&ctx).await?;
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
