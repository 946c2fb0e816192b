//! Documents, what loads them, what cuts them, and what finds them again.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::text_splitters::Room;

/// A piece of text with where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The text.
    pub page_content: String,
    /// Source, page, line and what the author added.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// What it is a part of. Never sent: Flowise's metadata says `blob` of every file.
    #[serde(skip)]
    pub origin: Option<Origin>,
}

/// What a document is a part of, to find all of its chunks again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The chatflow itself, by the id of its loader: a newer version replaces it.
    Chatflow(Arc<str>),
    /// A request, by the name of its file, its address or its loader: it adds
    /// to what is there.
    Request(Arc<str>),
}

impl Document {
    /// A document of no origin.
    pub fn new(page_content: impl Into<String>, metadata: Map<String, Value>) -> Self {
        Self { page_content: page_content.into(), metadata, origin: None }
    }
}

/// What loads documents, and what makes them of a search.
pub trait DocumentLoader: Send + Sync {
    /// The documents, cut by the splitter that is connected, with the author's
    /// metadata. Parsing happens off the arbiters ([`crate::workers`]).
    ///
    /// # Errors
    /// What concerns the loader as a whole; a file that cannot be read is a
    /// [`LoadFailure`].
    fn load<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>>;

    /// Whether a turn may go on with what could be read, because the loader
    /// finds its pages itself: a dead link of a site is nobody's mistake here.
    fn takes_what_it_finds(&self) -> bool {
        false
    }

    /// The origin of documents that name none of their own. An upsert asks, so
    /// that a loader that has become empty loses its old chunks.
    fn origin(&self) -> Option<&Origin> {
        None
    }

    /// Where its files come from. An upsert asks, so that a request needs files
    /// for one of several loaders only.
    fn supply(&self) -> Supply {
        Supply::Own
    }
}

/// Where the files of a loader come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// From the chatflow, or it reads something else.
    Own,
    /// From the request.
    Request,
    /// There are none.
    Nowhere,
}

/// What a loader brought.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The documents in order.
    pub documents: Vec<Document>,
    /// Files and pages read.
    pub n_files: usize,
    /// Files and pages that could not be read.
    pub failures: Vec<LoadFailure>,
}

/// A file or a page that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFailure {
    /// Its name or address.
    pub name: String,
    /// What is wrong, starting with a verb: `is protected by a password`.
    pub problem: String,
}

impl Loaded {
    /// The documents, where at least one page could be read.
    ///
    /// # Errors
    /// As of [`Loaded::whole`].
    pub fn readable(self) -> Result<Vec<Document>, NodeError> {
        if self.documents.is_empty() {
            return self.whole();
        }
        for LoadFailure { name, problem } in &self.failures {
            tracing::info!("a turn goes on without a page: {name} {problem}");
        }
        Ok(self.documents)
    }

    /// The documents, where every file could be read.
    ///
    /// # Errors
    /// [`NodeError::BadRequest`] naming the first file that could not.
    pub fn whole(self) -> Result<Vec<Document>, NodeError> {
        match self.failures.first() {
            None => Ok(self.documents),
            Some(LoadFailure { name, problem }) => {
                Err(NodeError::BadRequest(format!("{name} {problem}")))
            }
        }
    }
}

/// What cuts a text into chunks. Pure, linear in the text's length.
pub trait TextSplitter: Send + Sync {
    /// The chunks in order, as far as there is room for them.
    fn split(&self, text: &str, room: &mut Room) -> Vec<String>;
}

/// What finds documents for a question.
pub trait Retriever: Send + Sync {
    /// The documents, best first.
    fn retrieve<'a>(
        &'a self,
        query: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Document>, NodeError>>;

    /// Name and description, for a chain that chooses between several.
    fn title(&self) -> Option<(&str, &str)> {
        None
    }
}
