//! What a request brings beside its words: decoded, checked and written to
//! disk inside the turn. The files move to their place when the turn has its
//! answer; a turn that fails leaves none.

mod data_uri;
mod desk;

use parlor_nodes::files::InputFile;
use parlor_nodes::speech::Clip;
use parlor_schemas::{ChatId, ChatflowId, ErrorCode, Fault, Upload};
use serde_json::{Value, json};

use desk::Desk;

use super::plan::{Plan, PlanInput};
use super::text::JsonTemplate;
use crate::store::blobs::{BlobFolder, Blobs, StagedBlob};

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

impl FormFile {
    /// The file as an input of a node.
    pub fn as_input(&self) -> InputFile {
        let Self { name, mime, bytes } = self.clone();
        InputFile::Inline { name, mime, bytes }
    }
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

/// Whether a chat model of the flow takes images.
pub(super) fn sees_images(plan: &Plan) -> bool {
    let models = plan.nodes.iter().filter(|node| node.spec.category == "Chat Models");
    models.flat_map(|node| &node.inputs).any(|(name, input)| {
        name == "allowImageUploads"
            && matches!(input, PlanInput::Json(JsonTemplate::Scalar(Value::Bool(true))))
    })
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
