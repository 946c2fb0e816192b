//! Flowise `folderFiles`, version 4: the files of a folder of the server, of
//! which the operator allows some (`--loader-root`) and no request chooses one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, json};

use super::file_loader::reader;
use super::files::{Desk, File, Problem, Read};
use super::folder::{self, Folder, Listed};
use super::jsonlines_file::POINTER_NAME;
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use super::pdf_file::PDF_USAGE;
use super::unset::Unset;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::extract::MAX_FILE_BYTES;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{DocumentLoader, LoadFailure, Loaded};
use crate::spec::{Kind, NodeSpec, Param};
use crate::workers;

/// Bytes of all files together.
const MAX_BYTES: usize = 512 << 20;

const FOLDER_PATH: Param = Param::closed("folderPath", Kind::Text);

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "folderFiles",
    category: "Document Loaders",
    version: 4.0,
    about: "The files of a folder that the operator allows, as documents.",
    params: &[
        FOLDER_PATH,
        Param::closed("recursive", Kind::Boolean),
        PDF_USAGE,
        POINTER_NAME,
        TEXT_SPLITTER,
        METADATA,
        OMIT_METADATA_KEYS,
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let is_recursive = inputs.boolean("recursive")?.unwrap_or_default();
    let Some(path) = inputs.text(FOLDER_PATH.name) else {
        let unset = inputs.bad(FOLDER_PATH.name, "is empty; write the path of a folder");
        return loader(inputs, Unset(unset));
    };
    let (path, read, title) = (PathBuf::from(path), reader(inputs), inputs.title());
    loader(inputs, FolderFiles { path, is_recursive, read, title })
}

struct FolderFiles {
    path: PathBuf,
    is_recursive: bool,
    read: Arc<Read>,
    title: String,
}

impl DocumentLoader for FolderFiles {
    fn load<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        async move {
            let (folder, listed) = self.listed(ctx).await?;
            let mut desk = Desk::new(Arc::clone(&self.read));
            let mut left = MAX_BYTES;
            for path in listed.files {
                let bytes = read_file(&folder, &path, left, ctx).await?;
                left -= bytes.as_ref().map_or(0, Bytes::len).min(left);
                let name = name(&path);
                let metadata = Map::from_iter([("source".to_owned(), json!(&name))]);
                let file = File { name, mime: String::new(), metadata, origin: None };
                desk.take(file, bytes, ctx).await?;
            }
            let failures = listed.failures.into_iter().map(|(path, problem)| LoadFailure {
                name: name(&path),
                problem: problem.to_owned(),
            });
            desk.loaded.failures.extend(failures);
            Ok(desk.loaded)
        }
        .boxed()
    }
}

/// Its place in the folder: the server's own paths are nobody's business.
fn name(path: &Path) -> String {
    match path.to_string_lossy() {
        name if name.is_empty() => "the folder".to_owned(),
        name => name.into_owned(),
    }
}

impl FolderFiles {
    async fn listed(&self, ctx: &TurnCtx) -> Result<(Arc<Folder>, Listed), NodeError> {
        let (path, is_recursive) = (self.path.clone(), self.is_recursive);
        let roots = ctx.services.loader_roots().to_vec();
        let list = move || {
            let folder = Folder::open(&path, &roots)?;
            let listed = folder.files(is_recursive)?;
            Ok((Arc::new(folder), listed))
        };
        let listed: Result<_, &'static str> = workers::compute("the folder", ctx, list).await?;
        listed.map_err(|problem| NodeError::BadInput {
            node: self.title.clone(),
            input: FOLDER_PATH.name.to_owned(),
            problem: problem.to_owned(),
        })
    }
}

async fn read_file(
    folder: &Arc<Folder>,
    path: &Path,
    left: usize,
    ctx: &TurnCtx,
) -> Result<Result<Bytes, Problem>, NodeError> {
    let most = MAX_FILE_BYTES.min(left);
    let (folder, path) = (Arc::clone(folder), path.to_owned());
    let read = move || folder.read(&path, most);
    let read = match workers::attempt(ctx, read).await? {
        Ok(read) => read,
        Err(problem) => return Ok(Err(Problem(problem))),
    };
    Ok(read.map(Bytes::from).map_err(|problem| match problem {
        folder::ReadError::TooLarge if most < MAX_FILE_BYTES => {
            Problem(format!("is more than the {} MB of one folder", MAX_BYTES >> 20))
        }
        folder::ReadError::TooLarge => {
            Problem(format!("is larger than {} MB", MAX_FILE_BYTES >> 20))
        }
        folder::ReadError::Unreadable => Problem("cannot be opened".to_owned()),
    }))
}
