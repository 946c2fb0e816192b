//! The vector indexes of a backup.

use std::path::Path;

use super::Body;
use super::blobs::{block, send_pieces};
use crate::http::error::ApiError;
use crate::store::archive::Line;
use crate::store::vectors;

/// Sends the files of every collection, each collection as it is at one
/// moment; their number, or `None` when nobody reads any more.
///
/// # Errors
/// What is wrong with a damaged collection: a backup without it would look whole.
pub(super) async fn send_all(body: &Body, data_dir: &Path) -> Result<Option<u64>, ApiError> {
    let data_dir = data_dir.to_owned();
    let folders = block(move || Ok(vectors::collections(&data_dir))).await?;
    let mut n_files = 0;
    for folder in folders {
        for (path, file) in block(move || Ok(vectors::capture(&folder))).await?? {
            if send_pieces(body, Line::Vectors { path }, file).await?.is_none() {
                return Ok(None);
            }
            n_files += 1;
        }
    }
    Ok(Some(n_files))
}
