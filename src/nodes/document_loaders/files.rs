//! What loaders of files share: every file of their inputs is read by itself,
//! off the arbiters, and one that cannot be read does not hold up the others.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::extract::{ExtractError, MAX_FILE_BYTES};
use crate::files::{self, InputFile};
use crate::inputs::{InputValue, Inputs};
use crate::retrieval::{Budget, Document, DocumentLoader, LoadFailure, Loaded, Origin, Supply};
use crate::workers;

/// Characters of a file's name that are shown and kept.
const MAX_NAME_CHARS: usize = 120;

/// A file to be read.
pub(super) struct Source<'a> {
    /// Its name, as people see it.
    pub(super) name: &'a str,
    /// Its MIME type, empty where nobody said.
    pub(super) mime: &'a str,
    /// Its bytes, at least one.
    pub(super) bytes: &'a [u8],
    /// The metadata that all of its documents have.
    pub(super) metadata: &'a Map<String, Value>,
    /// What it may still bring.
    pub(super) budget: Budget,
}

/// What is wrong with a file, starting with a verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem(pub(super) String);

impl From<ExtractError> for Problem {
    fn from(error: ExtractError) -> Self {
        Self(error.to_string())
    }
}

/// Makes documents of a file. It computes, so it runs off the arbiters.
pub(super) type Read = dyn Fn(&Source<'_>) -> Result<Vec<Document>, Problem> + Send + Sync;

impl Source<'_> {
    /// A document of this file. Where a file gives several, each is told apart
    /// by metadata of its own.
    pub(super) fn document(&self, text: impl Into<String>, own: Map<String, Value>) -> Document {
        let mut metadata = self.metadata.clone();
        metadata.extend(own);
        Document::new(text, metadata)
    }

    /// Refuses the formats of Office before 2007, which are not read.
    pub(super) fn refuse_old(&self, old: &str, new: &str) -> Result<(), Problem> {
        let is_old = self.name.to_ascii_lowercase().ends_with(old);
        if is_old && self.bytes.starts_with(b"\xd0\xcf\x11\xe0") {
            return Err(Problem(format!("is of the old {old} format; save it as {new}")));
        }
        Ok(())
    }

    /// The file as one document.
    pub(super) fn whole(&self, text: impl Into<String>) -> Vec<Document> {
        vec![self.document(text, Map::new())]
    }

    /// One document a text, numbered from 1 as `line` where there are several,
    /// as LangChain does it.
    pub(super) fn lines(
        &self,
        texts: impl Iterator<Item = (String, Map<String, Value>)>,
    ) -> Result<Vec<Document>, Problem> {
        let mut budget = self.budget;
        let mut documents = Vec::new();
        for (at, (text, own)) in texts.enumerate() {
            let mut document = self.document(text, Map::new());
            document.metadata.insert("line".to_owned(), (at + 1).into());
            document.metadata.extend(own);
            budget.take(&document).ok_or_else(too_much)?;
            documents.push(document);
        }
        if let [only] = documents.as_mut_slice() {
            only.metadata.shift_remove("line");
        }
        Ok(documents)
    }
}

/// The problem of a file that brings more than a loader may hold.
pub(super) fn too_much() -> Problem {
    Problem("brings more text than one loader may hold; divide it into several files".to_owned())
}

/// The metadata of a file that came with a flow or a request: Flowise reads it
/// from a blob without a type (recorded).
pub(super) fn blob() -> Map<String, Value> {
    let metadata = [("source", "blob"), ("blobType", "")];
    metadata.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
}

/// The files of a loader's inputs, and what reads them.
pub(super) struct Files {
    node: String,
    input: &'static str,
    given: Vec<Given>,
    from_request: bool,
    read: Arc<Read>,
}

/// What an input holds. A text is decoded when it is loaded: a saved file would
/// otherwise be in memory twice, and a broken one would stop predictions that
/// never load it.
enum Given {
    Files(Arc<[InputFile]>),
    Text(&'static str, String),
}

impl Files {
    /// The files of these inputs together.
    pub(super) fn of(inputs: &Inputs, names: &[&'static str], read: Arc<Read>) -> Self {
        let given = |name: &&'static str| match inputs.values.get(*name) {
            Some(InputValue::Files(files)) => Some(Given::Files(Arc::clone(files))),
            _ => inputs.text(name).map(|text| Given::Text(name, text)),
        };
        Self {
            node: inputs.title(),
            input: names.first().copied().unwrap_or_default(),
            given: names.iter().filter_map(given).collect(),
            from_request: inputs.is_overridden,
            read,
        }
    }

    /// True where no input holds anything.
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    fn bad(&self, input: &str, problem: String) -> NodeError {
        NodeError::BadInput { node: self.node.clone(), input: input.to_owned(), problem }
    }

    /// The files, and the inputs that could not be decoded.
    async fn parsed(&self, ctx: &TurnCtx) -> Result<(Vec<InputFile>, Vec<LoadFailure>), NodeError> {
        let (mut all, mut failures) = (Vec::new(), Vec::new());
        for given in &self.given {
            match given {
                Given::Files(files) => all.extend_from_slice(files),
                Given::Text(name, text) => {
                    let text = text.clone();
                    let parse = move || files::parse(&text);
                    match workers::attempt(ctx, parse).await? {
                        Ok(Ok(files)) => all.extend(files),
                        Ok(Err(problem)) => return Err(self.bad(name, problem)),
                        Err(problem) => {
                            failures.push(LoadFailure { name: (*name).to_owned(), problem });
                        }
                    }
                }
            }
        }
        if all.is_empty() && failures.is_empty() {
            return Err(self.bad(self.input, "holds no file; add one".to_owned()));
        }
        Ok((all, failures))
    }
}

impl DocumentLoader for Files {
    fn supply(&self) -> Supply {
        let brought = |given: &Given| matches!(given, Given::Files(files) if !files.is_empty());
        let saved = |given: &Given| matches!(given, Given::Text(..));
        match &self.given {
            given if given.iter().any(brought) => Supply::Request,
            given if given.iter().any(saved) => Supply::Own,
            _ => Supply::Nowhere,
        }
    }

    fn load<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        async move {
            let (files, failures) = self.parsed(ctx).await?;
            let mut desk = Desk::new(Arc::clone(&self.read));
            desk.loaded.failures = failures;
            for (at, file) in files.into_iter().enumerate() {
                let (name, mime, bytes) = match file {
                    InputFile::Inline { name, mime, bytes } => (name, mime, Ok(bytes)),
                    InputFile::Stored(name) => {
                        let bytes = stored(&name, ctx).await;
                        (name, String::new(), bytes)
                    }
                };
                let origin = (self.from_request && !name.is_empty())
                    .then(|| Origin::Request(shown(&name).into()));
                let name = if name.is_empty() { format!("file {}", at + 1) } else { shown(&name) };
                desk.take(File { name, mime, metadata: blob(), origin }, bytes, ctx).await?;
            }
            Ok(desk.loaded)
        }
        .boxed()
    }
}

async fn stored(name: &str, ctx: &TurnCtx) -> Result<Bytes, Problem> {
    let file = ctx.services.chatflow_file(ctx.chatflow, name, MAX_FILE_BYTES).await;
    file.map(Bytes::from).ok_or_else(|| {
        let megabytes = MAX_FILE_BYTES >> 20;
        Problem(format!(
            "is not among this chatflow's files, or larger than {megabytes} MB; upload it again"
        ))
    })
}

fn shown(name: &str) -> String {
    name.chars().filter(|ch| !ch.is_control()).take(MAX_NAME_CHARS).collect()
}

/// What is known of a file before it is read.
pub(super) struct File {
    pub(super) name: String,
    pub(super) mime: String,
    pub(super) metadata: Map<String, Value>,
    pub(super) origin: Option<Origin>,
}

/// Reads one file after the other and gathers what comes of them.
pub(super) struct Desk {
    pub(super) loaded: Loaded,
    budget: Budget,
    read: Arc<Read>,
}

impl Desk {
    pub(super) fn new(read: Arc<Read>) -> Self {
        Self { loaded: Loaded::default(), budget: Budget::default(), read }
    }

    /// Reads a file, or notes why it cannot be read.
    ///
    /// # Errors
    /// [`NodeError::Busy`], and [`NodeError::Cancelled`] when the caller left.
    pub(super) async fn take(
        &mut self,
        file: File,
        bytes: Result<Bytes, Problem>,
        ctx: &TurnCtx,
    ) -> Result<(), NodeError> {
        let name = file.name.clone();
        let documents = match bytes {
            Ok(bytes) => self.documents(file, bytes, ctx).await?,
            Err(problem) => Err(problem),
        };
        match documents {
            Ok((documents, budget)) => {
                self.budget = budget;
                self.loaded.documents.extend(documents);
                self.loaded.n_files += 1;
            }
            Err(Problem(problem)) => self.loaded.failures.push(LoadFailure { name, problem }),
        }
        Ok(())
    }

    async fn documents(
        &self,
        file: File,
        bytes: Bytes,
        ctx: &TurnCtx,
    ) -> Result<Result<(Vec<Document>, Budget), Problem>, NodeError> {
        let (read, budget) = (Arc::clone(&self.read), self.budget);
        let work = move || read_one(read.as_ref(), &file, &bytes, budget);
        // It took too long, or its reader panicked: that is this file's problem.
        let done = workers::attempt(ctx, work).await?;
        Ok(done.unwrap_or_else(|problem| Err(Problem(problem))))
    }
}

fn read_one(
    read: &Read,
    file: &File,
    bytes: &[u8],
    mut budget: Budget,
) -> Result<(Vec<Document>, Budget), Problem> {
    if bytes.is_empty() {
        return Err(Problem("is empty".to_owned()));
    }
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Problem(format!("is larger than {} MB", MAX_FILE_BYTES >> 20)));
    }
    let (name, mime) = (file.name.as_str(), file.mime.as_str());
    let mut documents = read(&Source { name, mime, bytes, metadata: &file.metadata, budget })?;
    if documents.is_empty() {
        return Err(Problem("holds no text".to_owned()));
    }
    for document in &mut documents {
        budget.take(document).ok_or_else(too_much)?;
        document.origin.clone_from(&file.origin);
    }
    Ok((documents, budget))
}
