//! What a request brings beside its words: decoded, checked and written to
//! disk inside the turn. The files move to their place when the turn has its
//! answer; a turn that fails leaves none.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use parlor_nodes::speech::Clip;
use parlor_schemas::{ChatId, ChatflowId, ErrorCode, Fault, Upload};
use serde_json::{Value, json};

use super::overrides::FileInput;
use super::plan::{Plan, PlanInput};
use super::text::JsonTemplate;
use crate::store::blobs::{BadName, BlobFolder, BlobName, Blobs, StagedBlob};

/// Longest file of an earlier request that one may refer to.
const MAX_EARLIER_BYTES: usize = 32 << 20;

/// Longest URL of an image; it is stored with the turn.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Longest MIME type.
const MAX_MIME_BYTES: usize = 200;

/// What a model takes as an image where its node allows images.
const IMAGE_TYPES: &[&str] = &["image/gif", "image/jpeg", "image/jpg", "image/png", "image/webp"];

/// Browsers and clients leave padding out, and some use the alphabet of URLs.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A file of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormFile {
    /// Its name, as the client gave it.
    pub name: String,
    /// Its MIME type, as the client gave it.
    pub mime: String,
    /// Its bytes.
    pub bytes: bytes::Bytes,
}

/// The uploads of one turn.
pub struct TurnUploads {
    given: Option<Vec<Upload>>,
    files: Vec<FormFile>,
    blobs: Blobs,
    max_image_bytes: usize,
    attached: String,
}

/// The uploads, looked at.
#[derive(Default)]
pub(super) struct Received {
    /// `fileUploads` of the question's row.
    pub(super) row: Option<Value>,
    /// Images with their data, for the model.
    pub(super) images: Vec<Upload>,
    /// Recordings that may be transcribed.
    pub(super) clips: Vec<Clip>,
    attached: String,
    staged: Vec<StagedBlob>,
}

impl TurnUploads {
    /// What the request brought; nothing is decoded yet.
    pub fn new(
        given: Option<Vec<Upload>>,
        files: Vec<FormFile>,
        blobs: Blobs,
        max_image_bytes: usize,
    ) -> Self {
        Self { given, files, blobs, max_image_bytes, attached: String::new() }
    }

    /// Decodes and stages everything, off the arbiter.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] or [`ErrorCode::TooLarge`] naming the field;
    /// what the store says.
    pub(super) async fn receive(
        &mut self,
        chatflow: ChatflowId,
        chat: &ChatId,
        sees_images: bool,
    ) -> Result<Received, Fault> {
        let (given, files) = (self.given.take(), std::mem::take(&mut self.files));
        if given.as_ref().is_none_or(Vec::is_empty) && files.is_empty() {
            let row = given.map(|_| json!([]));
            return Ok(Received { row, ..Received::default() });
        }
        let folder = BlobFolder::checked(chatflow, chat);
        let folder = folder.map_err(|why| bad(format!("chatId {why}")))?;
        let desk = Desk {
            blobs: self.blobs.clone(),
            folder,
            max_image_bytes: self.max_image_bytes,
            sees_images,
        };
        let mut received = off_arbiter(move || desk.take_all(given, &files)).await?;
        self.attached = std::mem::take(&mut received.attached);
        Ok(received)
    }

    /// The text of attached documents, `<doc name='..'>..</doc>`; empty before
    /// they are received.
    pub(super) fn attached(&self) -> &str {
        &self.attached
    }

    /// The question as the model sees it: attached text in front.
    pub(super) fn in_front_of(&self, question: &str) -> String {
        match self.attached() {
            "" => question.to_owned(),
            attached => format!("{attached}\n\n{question}"),
        }
    }
}

impl Received {
    /// Moves the files to their place.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn keep(&mut self) -> Result<(), Fault> {
        let staged = std::mem::take(&mut self.staged);
        if staged.is_empty() {
            return Ok(());
        }
        off_arbiter(move || Ok(staged.into_iter().try_for_each(StagedBlob::keep)?)).await
    }
}

/// Which inputs the files of a multipart body are for: Flowise decides by the
/// extension alone, upper and lower case apart (contract 1.2).
pub fn file_inputs(files: &[FormFile]) -> Vec<FileInput> {
    let input = |name: &str| match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "pdf" => "pdfFile",
        "json" => "jsonFile",
        "csv" | "xls" | "xlsx" => "csvFile",
        "jsonl" => "jsonlinesFile",
        "docx" | "doc" => "docxFile",
        "yaml" => "yamlFile",
        _ => "txtFile",
    };
    files
        .iter()
        .map(|file| FileInput { input: input(&file.name), name: file.name.clone() })
        .collect()
}

/// Whether a chat model of the flow takes images.
pub(super) fn sees_images(plan: &Plan) -> bool {
    let models = plan.nodes.iter().filter(|node| node.spec.category == "Chat Models");
    models.flat_map(|node| &node.inputs).any(|(name, input)| {
        name == "allowImageUploads"
            && matches!(input, PlanInput::Json(JsonTemplate::Scalar(Value::Bool(true))))
    })
}

/// Where uploads are looked at one by one.
struct Desk {
    blobs: Blobs,
    folder: BlobFolder,
    max_image_bytes: usize,
    sees_images: bool,
}

impl Desk {
    fn take_all(&self, given: Option<Vec<Upload>>, files: &[FormFile]) -> Result<Received, Fault> {
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
        let bytes = decode(upload.data.as_deref().unwrap_or_default())
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

/// The bytes of `data:<type>;base64,<payload>`, or what is expected instead.
fn decode(uri: &str) -> Result<Vec<u8>, &'static str> {
    const WANTED: &str = "must be a data URI such as data:image/png;base64,iVBORw0...";
    let (head, payload) = uri.rsplit_once(',').ok_or(WANTED)?;
    if !head.starts_with("data:") || !head.ends_with(";base64") || payload.is_empty() {
        return Err(WANTED);
    }
    let engine = if payload.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(payload).map_err(|_| "holds no valid base64")
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

fn bad(message: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::BadRequest, message)
}

async fn off_arbiter<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let stopped = |_| Fault::new(ErrorCode::Overloaded, "the server is stopping");
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_uris_are_read_as_browsers_write_them() {
        for uri in [
            "data:image/png;base64,QUJD",
            "data:audio/webm;codecs=opus;base64,QUJD",
            "data:;base64,QUJD",
        ] {
            assert_eq!(decode(uri).unwrap(), b"ABC", "{uri}");
        }
        assert_eq!(decode("data:x/y;base64,QUI").unwrap(), b"AB", "padding may be missing");
        assert_eq!(decode("data:x/y;base64,-_8").unwrap(), [0xfb, 0xff]);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for uri in ["", "notadatauri", "QUJD", "data:image/png,abc", "data:image/png;base64,", ",x"]
        {
            assert!(decode(uri).unwrap_err().contains("data URI"), "{uri}");
        }
        assert_eq!(decode("data:x/y;base64,!!!!").unwrap_err(), "holds no valid base64");
    }

    #[test]
    fn files_go_to_the_loaders_input_of_their_extension() {
        let file = |name: &str| FormFile {
            name: name.to_owned(),
            mime: String::new(),
            bytes: bytes::Bytes::new(),
        };
        let names = ["a.txt", "b.PDF", "c.pdf", "d.xlsx", "e.jsonl", "f.doc", "noext"];
        let found = file_inputs(&names.map(file));
        let inputs: Vec<_> = found.iter().map(|file| file.input).collect();
        let expected =
            ["txtFile", "txtFile", "pdfFile", "csvFile", "jsonlinesFile", "docxFile", "txtFile"];
        assert_eq!(inputs, expected);
        assert_eq!(found[2].name, "c.pdf");
    }
}
