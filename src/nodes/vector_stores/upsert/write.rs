//! The part of an upsert that changes something: new chunks are embedded and
//! written side by side, then noted; what is stale goes last, while the ledger
//! still lists it. On an error before that what was written is taken out again.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::book::{self, Book};
use super::gather::Gathered;
use super::lane::settling;
use super::plan::Plan;
use super::progress::Progress;
use super::records::Records;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Chunk, IndexWriter, check_vectors};
use crate::upstream;
use crate::vector_stores::VectorStore;

/// Batches that are being embedded at the same time.
const IN_FLIGHT: usize = 4;

/// One upsert at work.
pub(super) struct Work<'a> {
    pub(super) store: &'a VectorStore,
    pub(super) gathered: &'a Gathered,
    pub(super) plan: &'a Plan,
    pub(super) book: &'a Book,
    pub(super) progress: &'a Progress<'a>,
    pub(super) ctx: &'a TurnCtx,
    has_announced: AtomicBool,
}

impl<'a> Work<'a> {
    /// What the plan says, of a store.
    pub(super) fn new(
        store: &'a VectorStore,
        gathered: &'a Gathered,
        plan: &'a Plan,
        book: &'a Book,
        progress: &'a Progress<'a>,
        ctx: &'a TurnCtx,
    ) -> Self {
        Self { store, gathered, plan, book, progress, ctx, has_announced: AtomicBool::new(false) }
    }

    /// Writes, notes and takes out. The index is as before where it fails,
    /// or holds the new version and what is stale.
    ///
    /// # Errors
    /// The embeddings', the store's, the record manager's and the ledger's.
    pub(super) async fn run(self, records: Option<&Records<'_>>) -> Result<(), NodeError> {
        let written = tokio::select! {
            biased;
            () = self.ctx.cancel.cancelled() => Err(NodeError::Cancelled),
            written = self.embed_and_put() => written,
        };
        // From here on a caller who leaves changes nothing: it ends either way.
        let calm = calm(self.ctx);
        // Until the ledger knows what the index holds, no backup looks at both.
        let _settling = settling().await;
        let noted = match written {
            Ok(writer) => self.note(is_atomic(&writer), records, &calm).await.map(|()| writer),
            Err(error) => Err(error),
        };
        match noted {
            Ok(writer) => self.take_out_stale(writer, records, &calm).await,
            Err(error) => {
                self.roll_back(&calm).await;
                Err(error)
            }
        }
    }

    /// The record manager comes first: what it misses is only written again,
    /// what the ledger misses is taken out. What is stale stays listed.
    async fn note(
        &self,
        is_atomic: bool,
        records: Option<&Records<'_>>,
        calm: &TurnCtx,
    ) -> Result<(), NodeError> {
        if !is_atomic {
            self.note_embeddings().await?;
        }
        if let Some(records) = records {
            let sources = self.plan.sources.iter().cloned();
            let keys: Vec<_> = self.gathered.ids.iter().copied().zip(sources).collect();
            records.note(&keys, calm).await?;
        }
        self.book.settle(self.plan.listed.clone()).await
    }

    async fn note_embeddings(&self) -> Result<(), NodeError> {
        let written = self.ids_to_write();
        self.book.models().note(&self.store.embeddings.identity(), &written).await
    }

    fn ids_to_write(&self) -> Vec<Uuid> {
        self.plan.to_write.iter().map(|at| self.gathered.ids[*at]).collect()
    }

    /// Until the end the ledger lists what is stale, so that the next upsert
    /// takes out what this one could not.
    async fn take_out_stale(
        &self,
        writer: Option<Box<dyn IndexWriter>>,
        records: Option<&Records<'_>>,
        calm: &TurnCtx,
    ) -> Result<(), NodeError> {
        let stale = &self.plan.stale;
        let is_atomic = is_atomic(&writer);
        match writer {
            Some(writer) => writer.commit(stale.clone(), calm).await?,
            None => _ = book::delete(self.store.index.as_ref(), stale, calm).await?,
        }
        if is_atomic {
            self.note_embeddings().await?;
        }
        self.book.models().forget(stale).await?;
        if let Some(records) = records {
            records.forget(stale, calm).await?;
        }
        if self.plan.entries != self.plan.listed {
            self.book.settle(self.plan.entries.clone()).await?;
        }
        Ok(())
    }

    /// Embedding runs ahead of writing by [`IN_FLIGHT`] batches and one that
    /// waits: a slow store slows the provider down.
    async fn embed_and_put(&self) -> Result<Option<Box<dyn IndexWriter>>, NodeError> {
        let (sender, receiver) = mpsc::channel(1);
        let ((), writer) = tokio::try_join!(self.embed_all(sender), self.put_all(receiver))?;
        Ok(writer)
    }

    async fn embed_all(&self, sender: Sender<Vec<Chunk>>) -> Result<(), NodeError> {
        let size = self.store.embeddings.batch_size().max(1);
        let mut batches = self.plan.to_write.chunks(size);
        let mut running = FuturesOrdered::new();
        loop {
            let free = IN_FLIGHT - running.len();
            running.extend(batches.by_ref().take(free).map(|places| self.embed(places)));
            let Some(chunks) = running.next().await else { return Ok(()) };
            // The other end is gone only when it has failed, and says so itself.
            if sender.send(chunks?).await.is_err() {
                return Ok(());
            }
        }
    }

    fn embed<'b>(&'b self, places: &'b [usize]) -> BoxFuture<'b, Result<Vec<Chunk>, NodeError>> {
        async move {
            let documents = &self.gathered.documents;
            let texts: Vec<&str> =
                places.iter().map(|at| documents[*at].page_content.as_str()).collect();
            let vectors = self.store.embeddings.embed(&texts, self.ctx).await?;
            let vectors = check_vectors("the embeddings", texts.len(), vectors)?;
            self.progress.note(|counts| counts.embedded += places.len());
            let chunk = |(at, vector): (&usize, Vec<f32>)| Chunk {
                id: self.gathered.ids[*at],
                vector,
                document: documents[*at].clone(),
            };
            Ok(places.iter().zip(vectors).map(chunk).collect())
        }
        .boxed()
    }

    async fn put_all(
        &self,
        mut receiver: Receiver<Vec<Chunk>>,
    ) -> Result<Option<Box<dyn IndexWriter>>, NodeError> {
        let mut writer = None;
        let mut n_dimensions = 0;
        while let Some(chunks) = receiver.recv().await {
            if writer.is_none() {
                n_dimensions = chunks.first().map_or(0, |chunk| chunk.vector.len());
                writer = Some(self.open(n_dimensions).await?);
            }
            if let Some(odd) = chunks.iter().find(|chunk| chunk.vector.len() != n_dimensions) {
                return Err(uneven(n_dimensions, odd.vector.len()));
            }
            let n_chunks = chunks.len();
            if let Some(writer) = &mut writer {
                writer.put(chunks, self.ctx).await?;
            }
            self.progress.note(|counts| counts.written += n_chunks);
        }
        Ok(writer)
    }

    async fn open(&self, n_dimensions: usize) -> Result<Box<dyn IndexWriter>, NodeError> {
        let writer = self.store.index.writer(n_dimensions, self.ctx).await?;
        self.book.models().doubt(&self.ids_to_write()).await?;
        if !writer.is_atomic() && !self.plan.fresh.is_empty() {
            self.has_announced.store(true, Ordering::Relaxed);
            self.book.announce(&self.plan.fresh).await?;
        }
        Ok(writer)
    }

    /// What cannot be taken out now stays announced, and the next upsert does it.
    async fn roll_back(&self, calm: &TurnCtx) {
        if !self.has_announced.load(Ordering::Relaxed) {
            return;
        }
        let index = self.store.index.as_ref();
        let undone = match book::delete(index, &self.plan.fresh, calm).await {
            Ok(_) => self.book.settle(Vec::new()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = undone {
            upstream::ERRORS.count(&error);
            tracing::warn!("{}: chunks of a failed upsert are left: {error}", self.store.title);
        }
    }
}

/// Whether a commit writes what was put; without a writer nothing was.
fn is_atomic(writer: &Option<Box<dyn IndexWriter>>) -> bool {
    writer.as_ref().is_some_and(|writer| writer.is_atomic())
}

/// The turn as one that nobody can cancel any more.
pub(super) fn calm(ctx: &TurnCtx) -> TurnCtx {
    TurnCtx { cancel: CancellationToken::new(), ..ctx.clone() }
}

fn uneven(first: usize, other: usize) -> NodeError {
    NodeError::UpstreamBroken {
        provider: "the embeddings".to_owned(),
        problem: format!("sent vectors of {first} and of {other} dimensions for the same model"),
    }
}
