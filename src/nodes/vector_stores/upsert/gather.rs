//! What an upsert brings: the documents of all loaders as different chunks,
//! and which chunks belong to which origin.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use parlor_schemas::ChatId;
use serde_json::Value;
use uuid::Uuid;

use super::progress::Progress;
use super::{UpsertOptions, ids};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Document, DocumentLoader, LoadFailure, Loaded, Origin, Supply};
use crate::vector_stores::VectorStore;
use crate::workers;

/// Metadata of the chat that brought a chunk (Flowise 2.2.8, `FLOWISE_CHATID`).
const CHAT_ID: &str = "flowise_chatId";
/// The origin of documents that nobody gave one: they are added.
const NAMELESS: &str = "documents";

/// What an upsert brings.
#[derive(Default)]
pub(in crate::vector_stores) struct Gathered {
    /// Ids of the different chunks, in order.
    pub(in crate::vector_stores) ids: Vec<Uuid>,
    /// Their documents.
    pub(in crate::vector_stores) documents: Vec<Document>,
    /// The chunks of every origin.
    pub(super) origins: BTreeMap<Origin, OriginChunks>,
    /// Files that could not be read.
    pub(super) failures: Vec<LoadFailure>,
    seen: HashSet<Uuid>,
}

/// The chunks that an upsert brings of one origin.
#[derive(Default)]
pub(in crate::vector_stores) struct OriginChunks {
    /// Their ids.
    pub(super) ids: Vec<Uuid>,
    /// Whether they may be only a part, because a file could not be read.
    pub(super) is_partial: bool,
}

impl Gathered {
    /// Loads all loaders of a store.
    ///
    /// # Errors
    /// The loaders'; the first failure unless `keep_going`.
    pub(super) async fn load(
        store: &VectorStore,
        options: UpsertOptions,
        progress: &Progress<'_>,
        ctx: &TurnCtx,
    ) -> Result<Self, NodeError> {
        let mut gathered = Self::default();
        let may_lack = options.may_lack || brings_files(&store.loaders);
        for loader in &store.loaders {
            let loaded = if may_lack && loader.supply() == Supply::Nowhere {
                Loaded::default()
            } else {
                tokio::select! {
                    biased;
                    () = ctx.cancel.cancelled() => return Err(NodeError::Cancelled),
                    loaded = loader.load(ctx) => loaded?,
                }
            };
            let loaded = if options.keep_going { loaded } else { whole(loaded)? };
            progress.note(|counts| counts.files += loaded.n_files);
            let chat = store.by_chat.then(|| ctx.chat_id.clone());
            let own = loader.origin().cloned();
            // Every chunk is hashed.
            let take = move || {
                gathered.take(loaded, own, chat.as_ref().map(ChatId::as_str));
                gathered
            };
            gathered = workers::compute(&store.title, ctx, take).await?;
        }
        Ok(gathered)
    }

    fn take(&mut self, loaded: Loaded, own: Option<Origin>, chat: Option<&str>) {
        let is_partial = !loaded.failures.is_empty();
        self.failures.extend(loaded.failures);
        if let Some(own) = own {
            self.origins.entry(own).or_default().is_partial |= is_partial;
        }
        for mut document in loaded.documents {
            if document.page_content.trim().is_empty() {
                continue;
            }
            if let Some(chat) = chat {
                document.metadata.insert(CHAT_ID.to_owned(), Value::from(chat));
            }
            self.add(document, is_partial);
        }
    }

    /// A chunk that is there already is not kept twice, but belongs to both of
    /// its origins.
    fn add(&mut self, document: Document, is_partial: bool) {
        let id = ids::chunk_id(&document);
        let origin = document.origin.clone();
        let origin = origin.unwrap_or_else(|| Origin::Request(NAMELESS.into()));
        let chunks = self.origins.entry(origin).or_default();
        chunks.is_partial |= is_partial;
        chunks.ids.push(id);
        if self.seen.insert(id) {
            self.ids.push(id);
            self.documents.push(document);
        }
    }

    /// Whether an id is among them.
    pub(super) fn brings(&self, id: &Uuid) -> bool {
        self.seen.contains(id)
    }
}

/// Whether a request brings files: it need not bring some for every loader.
fn brings_files(loaders: &[Arc<dyn DocumentLoader>]) -> bool {
    loaders.iter().any(|loader| loader.supply() == Supply::Request)
}

/// What was loaded, if all of it could be read.
fn whole(loaded: Loaded) -> Result<Loaded, NodeError> {
    if loaded.failures.is_empty() {
        return Ok(loaded);
    }
    loaded.whole().map(|documents| Loaded { documents, ..Loaded::default() })
}
