//! The uploaded files of a backup.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parlor_schemas::ErrorCode;

use super::{Body, lines, send};
use crate::http::error::ApiError;
use crate::http::state::off_arbiter;
use crate::store::archive::Line;
use crate::store::blobs::STAGING;

const PIECE_BYTES: usize = 64 * 1024;

/// Sends every file below `blobs`; their number, or `None` when nobody reads
/// any more. A file that is deleted meanwhile is left out.
pub(super) async fn send_all(body: &Body, data_dir: &Path) -> Result<Option<u64>, ApiError> {
    let root = data_dir.join("blobs");
    let mut folders = vec![PathBuf::new()];
    let mut n_files = 0;
    while let Some(folder) = folders.pop() {
        let (at, below) = (root.clone(), folder.clone());
        let (files, further) = block(move || listed(&at, &below)).await?;
        // Uploads that are not stored yet.
        folders.extend(further.into_iter().filter(|path| path != Path::new(STAGING)));
        for path in files {
            match send_file(body, &root, &path).await? {
                Sent::Whole => n_files += 1,
                Sent::Gone => {}
                Sent::NobodyReads => return Ok(None),
            }
        }
    }
    Ok(Some(n_files))
}

enum Sent {
    Whole,
    Gone,
    NobodyReads,
}

async fn send_file(body: &Body, root: &Path, path: &Path) -> Result<Sent, ApiError> {
    let full = root.join(path);
    let Ok(file) = block(move || File::open(full)).await else { return Ok(Sent::Gone) };
    // A name that is no text cannot be one of ours.
    let Some(name) = path.to_str() else { return Ok(Sent::Gone) };
    let sent = send_pieces(body, Line::Blob { path: name.to_owned() }, file).await?;
    Ok(sent.map_or(Sent::NobodyReads, |()| Sent::Whole))
}

/// Sends a file's first line and then its bytes; `None` when nobody reads any more.
pub(super) async fn send_pieces(
    body: &Body,
    first: Line,
    mut file: File,
) -> Result<Option<()>, ApiError> {
    let mut next = first;
    loop {
        if send(body, Ok(lines::of_backup(&[next]))).await.is_none() {
            return Ok(None);
        }
        let piece;
        (file, piece) = block(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            Ok((file, piece))
        })
        .await?;
        if piece.is_empty() {
            return Ok(Some(()));
        }
        next = Line::Piece { data: STANDARD.encode(piece) };
    }
}

/// Files and folders of one folder, by their paths below the root. Links are
/// not followed.
fn listed(root: &Path, folder: &Path) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let Ok(entries) = root.join(folder).read_dir() else { return Ok((files, folders)) };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = folder.join(entry.file_name());
        if kind.is_dir() {
            folders.push(path);
        } else if kind.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok((files, folders))
}

pub(super) async fn block<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let unreadable =
        |_| ApiError::new(ErrorCode::StoreFailed, "a file of the backup cannot be read");
    off_arbiter(work).await?.map_err(unreadable)
}
