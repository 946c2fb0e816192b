//! Puts the files of earlier turns again into the remembered messages.
//!
//! Source: contract of Flowise 2.2.8, section 5.2, recorded: the words come
//! first, then the images without a word about their detail. A file that is
//! gone leaves the words alone.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parlor_schemas::{ChatId, Exchange};
use serde_json::Value;

use crate::ctx::{StoredFile, TurnCtx};
use crate::model::{ImageDetail, ModelMessage, Part, Speaker};

/// What all remembered files of a prompt may weigh.
const MAX_BYTES: usize = 20 << 20;
/// How many files a prompt remembers, the newest first.
const MAX_FILES: usize = 20;

/// What is left to remember.
pub(super) struct Room {
    n_bytes: usize,
    n_files: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { n_bytes: MAX_BYTES, n_files: MAX_FILES }
    }
}

impl Room {
    fn take(&mut self, n_bytes: usize) -> Option<()> {
        self.n_files = self.n_files.checked_sub(1)?;
        self.n_bytes = self.n_bytes.checked_sub(n_bytes)?;
        Some(())
    }
}

/// The question of an earlier turn with what was uploaded to it.
pub(super) async fn question(turn: &Exchange<'_>, ctx: &TurnCtx, room: &mut Room) -> ModelMessage {
    let words = turn.question;
    let Some((chat, uploads)) = uploads(turn) else {
        return ModelMessage::text(Speaker::User, words);
    };
    let mut documents = String::new();
    let mut images = Vec::new();
    for upload in &uploads {
        match recalled(upload, &chat, ctx, room).await {
            Some(Recalled::Image(url)) => {
                images.push(Part::Image { url, detail: ImageDetail::Unsaid });
            }
            Some(Recalled::Document(text)) => documents.push_str(&text),
            None => {}
        }
    }
    let words = match documents.as_str() {
        "" => words.to_owned(),
        documents => format!("{documents}\n\n{words}"),
    };
    let mut message = ModelMessage::text(Speaker::User, words);
    message.parts.append(&mut images);
    message
}

/// The chat that the files are kept under, and what there is of them.
fn uploads(turn: &Exchange<'_>) -> Option<(ChatId, Vec<Value>)> {
    let uploads = turn.uploads?;
    Some((ChatId::parse(uploads.chat).ok()?, serde_json::from_str(uploads.files).ok()?))
}

enum Recalled {
    Image(String),
    Document(String),
}

async fn recalled(
    upload: &Value,
    chat: &ChatId,
    ctx: &TurnCtx,
    room: &mut Room,
) -> Option<Recalled> {
    let field = |name: &str| upload.get(name).and_then(Value::as_str);
    let (name, mime) = (field("name")?, field("mime").unwrap_or_default());
    let file = |as_text| StoredFile { chatflow: ctx.chatflow, chat, name, as_text };
    let is_image = ctx.sees_images && mime.starts_with("image/");
    match field("type")? {
        "stored-file" if is_image => {
            let bytes = ctx.services.stored_file(file(false), room.n_bytes).await?;
            room.take(bytes.len())?;
            let data = BASE64_STANDARD.encode(&bytes);
            Some(Recalled::Image(format!("data:{mime};base64,{data}")))
        }
        "url" if is_image => {
            let url = field("data")?;
            room.take(url.len())?;
            Some(Recalled::Image(url.to_owned()))
        }
        "stored-file:full" => {
            let bytes = ctx.services.stored_file(file(true), room.n_bytes).await?;
            room.take(bytes.len())?;
            let text = String::from_utf8(bytes).ok()?;
            Some(Recalled::Document(format!("<doc name='{name}'>{text}</doc>\n\n")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use parlor_schemas::PastUploads;
    use serde_json::json;

    use super::*;
    use crate::ctx::Services;
    use crate::test_support::TestTurn;

    /// Has every file; its content is its name.
    struct Shelf(reqwest::Client);

    impl Services for Shelf {
        fn http(&self) -> reqwest::Client {
            self.0.clone()
        }

        fn provider_url(&self, _provider: &str) -> Option<String> {
            None
        }

        fn stored_file<'a>(
            &'a self,
            file: StoredFile<'a>,
            most: usize,
        ) -> BoxFuture<'a, Option<Vec<u8>>> {
            let bytes = file.name.as_bytes().to_vec();
            let found = (file.name != "gone" && bytes.len() <= most).then_some(bytes);
            Box::pin(async move { found })
        }
    }

    async fn remembered(uploads: Value, sees_images: bool, room: &mut Room) -> ModelMessage {
        let mut ctx = TestTurn::asking("now").stored(&[("old", "answer")]).ctx();
        ctx.services = Arc::new(Shelf(ctx.services.http()));
        ctx.sees_images = sees_images;
        let turns = ctx.transcript.last(None).await.unwrap();
        let mut turn = turns.iter().next().unwrap();
        let files = uploads.to_string();
        turn.uploads = Some(PastUploads { chat: ctx.chat_id.as_str(), files: &files });
        question(&turn, &ctx, room).await
    }

    fn picture(name: &str) -> Value {
        json!({"type": "stored-file", "name": name, "mime": "image/png"})
    }

    #[tokio::test]
    async fn words_come_first_then_images_and_documents_stand_before_the_words() {
        let uploads = json!([
            picture("ABC"),
            {"type": "url", "data": "https://x.example/y", "name": "y", "mime": "image/png"},
            {"type": "stored-file:full", "name": "n.txt", "mime": "text/plain"},
            {"type": "stored-file", "name": "a.webm", "mime": "audio/webm"},
        ]);
        let message = remembered(uploads, true, &mut Room::default()).await;
        let seen = |url: &str| Part::Image { url: url.to_owned(), detail: ImageDetail::Unsaid };
        let expected = [
            Part::Text("<doc name='n.txt'>n.txt</doc>\n\n\n\nold".to_owned()),
            seen("data:image/png;base64,QUJD"),
            seen("https://x.example/y"),
        ];
        assert_eq!(message.parts, expected);
    }

    #[tokio::test]
    async fn a_model_without_images_and_a_file_that_is_gone_leave_the_words() {
        let only_words = [Part::Text("old".to_owned())];
        let mut room = Room::default();
        let uploads = json!([picture("ABC")]);
        assert_eq!(remembered(uploads, false, &mut room).await.parts, only_words);
        for uploads in [json!([picture("gone")]), json!([]), json!("x"), json!([7, {"type": 1}])] {
            assert_eq!(remembered(uploads, true, &mut room).await.parts, only_words);
        }
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let uploads = json!([picture("AAAA"), picture("BB"), picture("CC")]);
        let mut room = Room { n_bytes: 5, n_files: 9 };
        assert_eq!(remembered(uploads.clone(), true, &mut room).await.parts.len(), 2);
        let mut room = Room { n_bytes: 100, n_files: 2 };
        assert_eq!(remembered(uploads, true, &mut room).await.parts.len(), 3);
    }
}
