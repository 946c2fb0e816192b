//! Looks at the uploads of a request one by one: what each kind must bring,
//! how it is stored, and who gets it. Blocks on the disk.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parlor_nodes::speech::Clip;
use parlor_schemas::{ErrorCode, Fault, Upload};
use serde_json::{Value, json};

use super::{FormFile, Received, bad, data_uri};
use crate::store::blobs::{BadName, BlobFolder, BlobName, Blobs};

/// Longest file of an earlier request that one may refer to.
const MAX_EARLIER_BYTES: usize = 32 << 20;

/// Longest URL of an image; it is stored with the turn.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Longest MIME type.
const MAX_MIME_BYTES: usize = 200;

/// What a model takes as an image where its node allows images.
const IMAGE_TYPES: &[&str] = &["image/gif", "image/jpeg", "image/jpg", "image/png", "image/webp"];

/// Where uploads are looked at one by one.
pub(super) struct Desk {
    pub(super) blobs: Blobs,
    pub(super) folder: BlobFolder,
    pub(super) max_image_bytes: usize,
    pub(super) sees_images: bool,
}

impl Desk {
    /// Looks at all of them, and stages the files.
    ///
    /// # Errors
    /// Those of [`super::TurnUploads::receive`].
    pub(super) fn take_all(
        &self,
        given: Option<Vec<Upload>>,
        files: &[FormFile],
    ) -> Result<Received, Fault> {
        let mut received = Received::default();
        let mut rows = Vec::new();
        let has_row = given.is_some();
        for (index, upload) in given.into_iter().flatten().enumerate() {
            let field = Field { index };
            field.check_mime(&upload)?;
            let row = match upload.kind.as_str() {
                "file" | "file:rag" | "audio" => self.data(upload, &field, &mut received)?,
                "stored-file" => self.again(upload, &field, &mut received)?,
                "url" => self.url(upload, &field, &mut received)?,
                "file:full" => self.document(upload, &field, &mut received)?,
                "stored-file:full" => self.document_again(upload, &field, &mut received)?,
                other => return Err(field.bad("type", &unknown_kind(other))),
            };
            rows.push(row);
        }
        for file in files {
            let name = BlobName::of_upload(&file.name)
                .map_err(|why| bad(format!("files: the name of a file {why}")))?;
            received.staged.push(self.blobs.stage(&self.folder, &name, &file.bytes)?);
        }
        received.row = has_row.then_some(Value::Array(rows));
        Ok(received)
    }

    /// A file in a data URI.
    fn data(&self, upload: Upload, field: &Field, received: &mut Received) -> Result<Value, Fault> {
        let name = field.name(&upload)?;
        let bytes = data_uri::decode(upload.data.as_deref().unwrap_or_default())
            .map_err(|wanted| field.bad("data", wanted))?;
        self.check_image(&upload, bytes.len(), field)?;
        received.staged.push(self.blobs.stage(&self.folder, &name, &bytes)?);
        let row = row("stored-file", &upload);
        hand_over(upload, bytes, received);
        Ok(row)
    }

    /// A file that an earlier request of this chat brought.
    fn again(
        &self,
        upload: Upload,
        field: &Field,
        received: &mut Received,
    ) -> Result<Value, Fault> {
        let name = field.name(&upload)?;
        let bytes = self.blobs.read(&self.folder, &name, MAX_EARLIER_BYTES)?;
        let bytes = bytes.ok_or_else(|| field.bad("name", "names no file of this chat"))?;
        self.check_image(&upload, bytes.len(), field)?;
        let row = row("stored-file", &upload);
        hand_over(Upload { kind: "file".to_owned(), ..upload }, bytes, received);
        Ok(row)
    }

    /// An image that the provider fetches; the server does not.
    fn url(
        &self,
        mut upload: Upload,
        field: &Field,
        received: &mut Received,
    ) -> Result<Value, Fault> {
        if !upload.name.is_empty() {
            field.name(&upload)?;
        }
        let url = upload.data.as_deref().unwrap_or_default();
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        if !is_web || url.len() > MAX_URL_BYTES || reqwest::Url::parse(url).is_err() {
            return Err(field.bad("data", "must be a URL that begins with https:// or http://"));
        }
        if upload.mime.is_empty() {
            upload.mime = "image/png".to_owned();
        }
        let row = json!({
            "data": upload.data, "name": upload.name, "type": "url", "mime": upload.mime
        });
        received.images.push(upload);
        Ok(row)
    }

    /// A document whose text came along. It is kept beside the document, so
    /// that later turns see the same.
    fn document(
        &self,
        upload: Upload,
        field: &Field,
        received: &mut Received,
    ) -> Result<Value, Fault> {
        let name = field.name(&upload)?;
        let text = upload.data.as_deref().unwrap_or_default();
        if text.is_empty() {
            return Err(field.bad("data", "is empty; send the text of the file"));
        }
        received.staged.push(self.blobs.stage_note(&self.folder, &name, text)?);
        received.attach(&upload.name, text);
        Ok(row("stored-file:full", &upload))
    }

    fn document_again(
        &self,
        upload: Upload,
        field: &Field,
        received: &mut Received,
    ) -> Result<Value, Fault> {
        let name = field.name(&upload)?;
        let text = self.blobs.read_note(&self.folder, &name, MAX_EARLIER_BYTES)?;
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| field.bad("name", "names no document of this chat"))?;
        received.attach(&upload.name, &text);
        Ok(row("stored-file:full", &upload))
    }

    fn check_image(&self, upload: &Upload, n_bytes: usize, field: &Field) -> Result<(), Fault> {
        if !upload.mime.starts_with("image/") {
            return Ok(());
        }
        if n_bytes > self.max_image_bytes {
            let limit = self.max_image_bytes / 1024;
            let message = format!("uploads[{}] is an image of more than {limit} KiB", field.index);
            return Err(Fault::new(ErrorCode::TooLarge, message));
        }
        // Where no model looks at images, any of them is stored and left alone.
        let takes = !self.sees_images || IMAGE_TYPES.contains(&upload.mime.as_str());
        if takes {
            Ok(())
        } else {
            Err(field.bad("mime", "must be a GIF, JPEG, PNG or WebP image"))
        }
    }
}

impl Received {
    fn attach(&mut self, name: &str, text: &str) {
        self.attached.push_str(&format!("<doc name='{name}'>{text}</doc>\n\n"));
    }
}

/// Gives a file's content to who may want it: the model, or speech to text.
fn hand_over(mut upload: Upload, bytes: Vec<u8>, received: &mut Received) {
    if upload.mime.starts_with("image/") {
        let data = BASE64_STANDARD.encode(&bytes);
        upload.data = Some(format!("data:{};base64,{data}", upload.mime));
        received.images.push(upload);
    } else if let Some(clip) = Clip::of(&upload.name, &upload.mime, bytes) {
        received.clips.push(clip);
    }
}

fn row(kind: &str, upload: &Upload) -> Value {
    json!({"type": kind, "name": upload.name, "mime": upload.mime})
}

fn unknown_kind(kind: &str) -> String {
    let shown: String = kind.chars().take(40).collect();
    format!("is \"{}\"; use file, url, audio, file:full or file:rag", shown.escape_debug())
}

/// The place of an upload in the request, for errors.
struct Field {
    index: usize,
}

impl Field {
    fn bad(&self, key: &str, problem: &str) -> Fault {
        bad(format!("uploads[{}].{key} {problem}", self.index))
    }

    /// It is stored, and a part of the data URI that a model gets.
    fn check_mime(&self, upload: &Upload) -> Result<(), Fault> {
        let is_plain = upload.mime.chars().all(|ch| ch.is_ascii_graphic() || ch == ' ');
        if is_plain && upload.mime.len() <= MAX_MIME_BYTES && !upload.mime.contains(',') {
            return Ok(());
        }
        Err(self.bad("mime", "is no MIME type"))
    }

    fn name(&self, upload: &Upload) -> Result<BlobName, Fault> {
        BlobName::of_upload(&upload.name).map_err(|why: BadName| self.bad("name", &why.to_string()))
    }
}
