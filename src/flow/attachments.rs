//! Files whose text a client asks for before it puts a question about them.
//! Each is read behind limits on its time and on how many are read at once;
//! nothing is stored unless all can be.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parlor_nodes::extract::{self, ExtractError};
use parlor_nodes::workers::{RETRY_AFTER_S, Undone, Workers};
use parlor_schemas::{Chatflow, ErrorCode, Fault};
use serde::Serialize;
use serde_json::Value;

use super::uploads::FormFile;
use crate::store::StoreError;
use crate::store::blobs::{BlobFolder, BlobName, Blobs};

/// Reads the files of two requests at a time, those of a request for a minute.
static READERS: Workers = Workers::new(2, Duration::from_secs(30), Duration::from_secs(60));

/// What the texts of one request may hold together: small files can unpack to
/// long texts.
const MAX_TEXTS_BYTES: usize = 32 << 20;

/// A file with its text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The name, as the client gave it.
    pub name: String,
    /// The MIME type, as the client gave it.
    pub mime_type: String,
    /// Length of the file in bytes.
    pub size: usize,
    /// Its text, or its bytes as base64 where that was asked for.
    pub content: String,
}

/// What a chatflow's `chatbotConfig.fullFileUpload` says of attachments.
pub struct Rules {
    is_off: bool,
    /// MIME types; empty allows all.
    allowed: Vec<String>,
}

impl Rules {
    /// Reads the setting. A chatflow that says nothing takes attachments, as
    /// recorded from Flowise; one that says `"status": false` does not.
    pub fn of(chatflow: &Chatflow) -> Self {
        let config = Chatflow::settings(chatflow.chatbot_config.as_deref());
        let setting = &config["fullFileUpload"];
        let types: Vec<&str> = match &setting["allowedUploadFileTypes"] {
            Value::String(list) => list.split(',').collect(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let allowed = types.iter().map(|kind| kind.trim().to_ascii_lowercase());
        Self {
            is_off: setting["status"] == Value::Bool(false),
            allowed: allowed.filter(|kind| !kind.is_empty()).collect(),
        }
    }

    /// Whether attachments are taken at all.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`].
    pub fn check(&self) -> Result<(), Fault> {
        let message = "this chatflow takes no attachments; its fullFileUpload is switched off";
        if self.is_off { Err(Fault::new(ErrorCode::Forbidden, message)) } else { Ok(()) }
    }

    /// Whether a file's type is allowed. The type that the client declares
    /// counts only where the extension, by which the file is read, says nothing.
    fn check_file(&self, file: &FormFile) -> Result<(), Fault> {
        let declared = file.mime.split(';').next().unwrap_or_default().trim();
        let kind = mime_of(&file.name).map_or_else(|| declared.to_ascii_lowercase(), str::to_owned);
        if self.allowed.is_empty() || self.allowed.contains(&kind) {
            return Ok(());
        }
        let wanted = self.allowed.join(", ");
        Err(bad(file, &format!("is not of an allowed type; this chatflow takes {wanted}")))
    }
}

/// The types of Flowise's settings by extension, where it has one name for it.
pub(crate) fn mime_of(name: &str) -> Option<&'static str> {
    const OFFICE: [&str; 3] = [
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ];
    let extension = name.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match extension.as_str() {
        "css" => "text/css",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "md" => "text/markdown",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "docx" => OFFICE[0],
        "xlsx" => OFFICE[1],
        "pptx" => OFFICE[2],
        _ => return None,
    })
}

/// Reads the files and keeps them with their chat.
///
/// # Errors
/// [`ErrorCode::BadRequest`] or [`ErrorCode::TooLarge`] naming the file;
/// [`ErrorCode::Overloaded`] when too many are being read; the store's.
pub async fn take(
    files: Vec<FormFile>,
    rules: &Rules,
    as_base64: bool,
    folder: BlobFolder,
    blobs: Blobs,
) -> Result<Vec<Attachment>, Fault> {
    files.iter().try_for_each(|file| rules.check_file(file))?;
    let files: Arc<[FormFile]> = files.into();
    let names: Result<Vec<BlobName>, Fault> = files.iter().map(name).collect();
    let names = names?;
    let attachments = read_all(files.clone(), as_base64).await?;
    let store = move || -> Result<(), StoreError> {
        let stage = |(name, file): (_, &FormFile)| blobs.stage(&folder, name, &file.bytes);
        let staged: Result<Vec<_>, _> = names.iter().zip(files.iter()).map(stage).collect();
        staged?.into_iter().try_for_each(crate::store::blobs::StagedBlob::keep)
    };
    tokio::task::spawn_blocking(store).await.map_err(|_| stopping())??;
    Ok(attachments)
}

async fn read_all(files: Arc<[FormFile]>, as_base64: bool) -> Result<Vec<Attachment>, Fault> {
    let read = move || {
        let mut left = MAX_TEXTS_BYTES;
        files.iter().map(|file| attachment(file, as_base64, &mut left)).collect()
    };
    READERS.run(read).await.unwrap_or_else(|undone| Err(unread(undone)))
}

fn unread(undone: Undone) -> Fault {
    let overloaded =
        |message| Fault::new(ErrorCode::Overloaded, message).retry_after(RETRY_AFTER_S);
    match undone {
        Undone::Full => overloaded("the server reads too many files at once; try again"),
        Undone::Late(_) => {
            overloaded("reading the attached files takes too long; send fewer or smaller ones")
        }
        Undone::Panicked => {
            Fault::new(ErrorCode::BadRequest, format!("an attached file {}", ExtractError::Damaged))
        }
        Undone::Stopped => stopping(),
    }
}

/// `left` is what all texts of the request may still take.
fn attachment(file: &FormFile, as_base64: bool, left: &mut usize) -> Result<Attachment, Fault> {
    let content = if as_base64 {
        BASE64_STANDARD.encode(&file.bytes)
    } else {
        let text = text(file).and_then(|text| {
            *left = left.checked_sub(text.len()).ok_or(ExtractError::TooLarge)?;
            Ok(text)
        });
        text.map_err(|error| match error {
            ExtractError::TooLarge => {
                Fault::new(ErrorCode::TooLarge, format!("{} {error}", shown(&file.name)))
            }
            _ => bad(file, &error.to_string()),
        })?
    };
    Ok(Attachment {
        name: file.name.clone(),
        mime_type: file.mime.clone(),
        size: file.bytes.len(),
        content,
    })
}

fn text(file: &FormFile) -> Result<String, ExtractError> {
    let read = || extract::text_of(&file.name, &file.mime, &file.bytes);
    let pages = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        tracing::warn!("a parser gave up on an attached file");
        Err(ExtractError::Damaged)
    })?;
    Ok(pages.join("\n"))
}

fn name(file: &FormFile) -> Result<BlobName, Fault> {
    BlobName::of_upload(&file.name).map_err(|why| {
        Fault::new(ErrorCode::BadRequest, format!("files: the name of a file {why}"))
    })
}

fn bad(file: &FormFile, problem: &str) -> Fault {
    Fault::new(ErrorCode::BadRequest, format!("{} {problem}", shown(&file.name)))
}

fn shown(name: &str) -> String {
    name.chars().take(80).collect::<String>().escape_debug().to_string()
}

fn stopping() -> Fault {
    Fault::new(ErrorCode::Overloaded, "the server is stopping")
}

#[cfg(test)]
mod tests {
    use parlor_schemas::{ChatflowId, Timestamp};
    use serde_json::json;

    use super::*;

    fn rules(setting: &Value) -> Rules {
        let now = Timestamp::from_millis(0);
        let mut flow = Chatflow::new(ChatflowId::random(), String::new(), String::new(), now);
        flow.chatbot_config = Some(json!({"fullFileUpload": setting}).to_string());
        Rules::of(&flow)
    }

    fn file(name: &str, mime: &str) -> FormFile {
        FormFile { name: name.to_owned(), mime: mime.to_owned(), bytes: bytes::Bytes::new() }
    }

    #[test]
    fn who_finds_no_place_is_told_when_to_come_again() {
        let full = unread(Undone::Full);
        assert_eq!((full.code, full.retry_after_s), (ErrorCode::Overloaded, Some(5)));
        assert_eq!(unread(Undone::Panicked).code, ErrorCode::BadRequest);
    }

    #[test]
    fn attachments_are_taken_unless_they_are_switched_off() {
        for setting in [json!(null), json!({}), json!({"status": true}), json!("x")] {
            assert!(rules(&setting).check().is_ok(), "{setting}");
        }
        let off = rules(&json!({"status": false})).check();
        assert_eq!(off.unwrap_err().code, ErrorCode::Forbidden);
    }

    #[test]
    fn the_extension_says_more_than_the_declared_type() {
        let types = "text/plain, application/pdf";
        let rules = rules(&json!({"status": true, "allowedUploadFileTypes": types}));
        for (name, mime, is_allowed) in [
            ("a.txt", "application/octet-stream", true),
            ("a.PDF", "", true),
            ("a.docx", "text/plain", false),
            ("a.csv", "text/plain", false),
            ("notes", "text/plain; charset=utf-8", true),
            ("notes", "text/rtf", false),
        ] {
            assert_eq!(rules.check_file(&file(name, mime)).is_ok(), is_allowed, "{name} {mime}");
        }
    }
}
