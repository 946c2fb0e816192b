//! Flowise `folderFiles`, version 4: the files of a folder of the server, of
//! which the operator allows some (`--loader-root`) and no request chooses one.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, json};

use super::file_loader::reader;
use super::files::{Desk, File, Problem, Read};
use super::folder::{self, Folder};
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use super::pdf_file::USAGES;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::extract::MAX_FILE_BYTES;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{DocumentLoader, Loaded};
use crate::spec::{Kind, NodeSpec, Param};
use crate::workers;

/// Bytes of all files together.
const MAX_BYTES: usize = 512 << 20;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "folderFiles",
    category: "Document Loaders",
    version: 4.0,
    about: "The files of a folder that the operator allows, as documents.",
    params: &[
        Param::closed("folderPath", Kind::Text),
        Param::closed("recursive", Kind::Boolean),
        Param::open("pdfUsage", Kind::Choice(USAGES)),
        Param::open("pointerName", Kind::Text),
        TEXT_SPLITTER,
        METADATA,
        OMIT_METADATA_KEYS,
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let unset = inputs.bad("folderPath", "is empty; write the path of a folder");
    let files = FolderFiles {
        path: inputs.text("folderPath").map(PathBuf::from),
        is_recursive: inputs.boolean("recursive")?.unwrap_or_default(),
        read: reader(inputs),
        unset,
        inputs: Inputs { id: inputs.id.clone(), label: inputs.label.clone(), ..Inputs::default() },
    };
    loader(inputs, files)
}

struct FolderFiles {
    path: Option<PathBuf>,
    is_recursive: bool,
    read: Arc<Read>,
    unset: NodeError,
    /// Names the node in errors.
    inputs: Inputs,
}

impl DocumentLoader for FolderFiles {
    fn load<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        async move {
            let path = self.path.clone().ok_or_else(|| self.unset.clone())?;
            let (folder, files) = self.listed(path, ctx).await?;
            let mut desk = Desk::new(Arc::clone(&self.read));
            let mut left = MAX_BYTES;
            for path in files {
                let bytes = read_file(&folder, &path, left, ctx).await?;
                left -= bytes.as_ref().map_or(0, Bytes::len).min(left);
                // Its place in the folder: the server's own paths are nobody's business.
                let name = path.to_string_lossy().into_owned();
                let metadata = Map::from_iter([("source".to_owned(), json!(&name))]);
                let file = File { name, mime: String::new(), metadata, origin: None };
                desk.take(file, bytes, ctx).await?;
            }
            Ok(desk.loaded)
        }
        .boxed()
    }
}

impl FolderFiles {
    async fn listed(
        &self,
        path: PathBuf,
        ctx: &TurnCtx,
    ) -> Result<(Arc<Folder>, Vec<PathBuf>), NodeError> {
        let roots = ctx.services.loader_roots().to_vec();
        let is_recursive = self.is_recursive;
        let list = move || {
            let folder = Folder::open(&path, &roots)?;
            let files = folder.files(is_recursive)?;
            Ok((Arc::new(folder), files))
        };
        let listed: Result<_, &'static str> = workers::compute("the folder", ctx, list).await?;
        listed.map_err(|problem| self.inputs.bad("folderPath", problem))
    }
}

async fn read_file(
    folder: &Arc<Folder>,
    path: &std::path::Path,
    left: usize,
    ctx: &TurnCtx,
) -> Result<Result<Bytes, Problem>, NodeError> {
    let most = MAX_FILE_BYTES.min(left);
    let (folder, path) = (Arc::clone(folder), path.to_owned());
    let read = move || folder.read(&path, most);
    let read = workers::compute("the file", ctx, read).await?;
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
