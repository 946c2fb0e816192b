//! Uploaded files: `storage/<chatflow>/<chat>/<name>`, and beside the chats'
//! folders the files that loaders of the chatflow read. In 3.x all this lies
//! one folder deeper, in that of the organisation.

use std::collections::HashSet;
use std::fs::{DirEntry, FileType};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::report::Kind;
use super::sink::Sink;

/// Larger files are not even read: they are handed over in one piece.
const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// A file that was uploaded.
struct Upload {
    chatflow: String,
    /// The chat; `None` for a file of the chatflow itself.
    chat: Option<String>,
    name: String,
    path: PathBuf,
}

/// Moves the files of chatflows that are here.
///
/// # Errors
/// When the server gives way.
pub(super) async fn run(
    storage: &Path,
    sink: &Sink,
    flows: &HashSet<String>,
) -> anyhow::Result<Kind> {
    let files = found(storage, flows);
    let mut kind = Kind::new("uploads", files.len() as u64);
    for file in files {
        match row(&file) {
            Ok(row) => {
                sink.row("file", row).await?.count(&mut kind);
            }
            Err(why) => kind.leave(1, why),
        }
    }
    Ok(kind)
}

fn row(file: &Upload) -> Result<Value, &'static str> {
    let unreadable = |_| "they cannot be read";
    if file.path.metadata().map_err(unreadable)?.len() > MAX_BYTES {
        return Err("they are larger than 128 MiB");
    }
    let bytes = std::fs::read(&file.path).map_err(unreadable)?;
    let (chatflow, chat, name) = (&file.chatflow, &file.chat, &file.name);
    let data = STANDARD.encode(bytes);
    Ok(json!({"chatflowid": chatflow, "chatId": chat, "name": name, "data": data}))
}

fn found(storage: &Path, flows: &HashSet<String>) -> Vec<Upload> {
    let mut files = Vec::new();
    for (name, path) in entries(storage, FileType::is_dir) {
        if flows.contains(&name.to_lowercase()) {
            of_chatflow(&name, &path, &mut files);
            continue;
        }
        for (name, path) in entries(&path, FileType::is_dir) {
            if flows.contains(&name.to_lowercase()) {
                of_chatflow(&name, &path, &mut files);
            }
        }
    }
    files
}

fn of_chatflow(chatflow: &str, folder: &Path, files: &mut Vec<Upload>) {
    let chats = entries(folder, FileType::is_dir).into_iter();
    let chats = chats.map(|(chat, path)| (Some(chat), path));
    for (chat, folder) in [(None, folder.to_owned())].into_iter().chain(chats) {
        files.extend(entries(&folder, FileType::is_file).into_iter().map(|(name, path)| Upload {
            chatflow: chatflow.to_owned(),
            chat: chat.clone(),
            name,
            path,
        }));
    }
}

/// What of one kind lies in a folder, by name. Links are not followed, and a
/// name that is no text was given by nobody.
fn entries(folder: &Path, is_kind: impl Fn(&FileType) -> bool) -> Vec<(String, PathBuf)> {
    let Ok(listed) = folder.read_dir() else { return Vec::new() };
    let is_meant = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| is_kind(&kind));
    let listed = listed.flatten().filter(is_meant);
    let named = |entry: DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    let mut all: Vec<_> = listed.filter_map(named).collect();
    all.sort();
    all
}
