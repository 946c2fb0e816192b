//! Images of a request on their way into a prompt.
//!
//! Source: contract of Flowise 2.2.8, section 6. They reach the model when its
//! node allows images; otherwise they are ignored without an error.

use parlor_schemas::Upload;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::instance::ModelProfile;
use crate::model::{ModelMessage, Part, Speaker};

/// The uploaded images as parts of a message, in the order of the uploads;
/// none when the model's node does not allow images.
///
/// # Errors
/// [`NodeError::BadRequest`] naming the upload that holds no image.
pub fn images(ctx: &TurnCtx, profile: ModelProfile) -> Result<Vec<Part>, NodeError> {
    let Some(detail) = profile.images else { return Ok(Vec::new()) };
    let uploads = ctx.uploads.iter().filter(|upload| is_image(upload));
    uploads.map(|upload| Ok(Part::Image { url: url(upload)?, detail })).collect()
}

/// Puts images before the words of the last user message.
pub fn put_in_front(messages: &mut Vec<ModelMessage>, images: Vec<Part>) {
    if images.is_empty() {
        return;
    }
    match messages.iter_mut().rfind(|message| message.speaker == Speaker::User) {
        Some(message) => {
            message.parts.splice(0..0, images);
        }
        None => put_apart(messages, images),
    }
}

/// Adds a user message that holds the images and nothing else.
pub fn put_apart(messages: &mut Vec<ModelMessage>, images: Vec<Part>) {
    if !images.is_empty() {
        messages.push(ModelMessage {
            speaker: Speaker::User,
            parts: images,
            tool_calls: Vec::new(),
            tool_call_id: None,
        });
    }
}

fn is_image(upload: &Upload) -> bool {
    upload.mime.starts_with("image/")
        && matches!(upload.kind.as_str(), "file" | "stored-file" | "url")
}

/// The URI that the provider gets: a URL as given, which the server does not
/// fetch, or the data with the upload's own MIME type.
fn url(upload: &Upload) -> Result<String, NodeError> {
    let bad = |wanted| NodeError::BadRequest(format!("uploads: {} {wanted}", upload.name));
    let data = upload.data.as_deref().unwrap_or_default();
    if upload.kind == "url" {
        let url = Some(data).filter(|url| !url.is_empty());
        return url.map(str::to_owned).ok_or_else(|| bad("needs a URL in data"));
    }
    let payload = data.split_once(";base64,").map(|(_, payload)| payload);
    let payload = payload.filter(|payload| data.starts_with("data:") && !payload.is_empty());
    let payload = payload.ok_or_else(|| bad("needs a base64 data URI in data"))?;
    Ok(format!("data:{};base64,{payload}", upload.mime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::ChatModel;
    use crate::test_support::{FakeModel, TestTurn, image, system, user};

    fn seen(uploads: &[(&str, Option<&str>, &str)]) -> Result<Vec<Part>, NodeError> {
        let profile = FakeModel::seeing(false).profile();
        images(&TestTurn::asking("q").uploads(uploads).ctx(), profile)
    }

    #[test]
    fn files_become_data_uris_with_the_uploads_mime_type_and_urls_stay() {
        let parts = seen(&[
            ("file", Some("data:image/jpeg;base64,QUJD"), "image/png"),
            ("url", Some("https://x.example/y.png"), "image/png"),
            ("audio", Some("data:audio/webm;base64,QUJD"), "audio/webm"),
            ("file:full", Some("words"), "text/plain"),
        ]);

        let expected = [image("data:image/png;base64,QUJD"), image("https://x.example/y.png")];
        assert_eq!(parts.unwrap(), expected);
    }

    #[test]
    fn a_model_without_images_gets_none() {
        let uploads = [("file", Some("nonsense"), "image/png")];
        let ctx = TestTurn::asking("q").uploads(&uploads).ctx();

        let parts = images(&ctx, FakeModel::saying("x").profile());

        assert_eq!(parts.unwrap(), []);
    }

    #[test]
    fn an_upload_without_an_image_is_refused_by_its_name() {
        for upload in [
            ("file", Some("QUJD"), "image/png"),
            ("file", Some("data:image/png;base64,"), "image/png"),
            ("stored-file", None, "image/png"),
            ("url", None, "image/png"),
        ] {
            let error = seen(&[upload]).unwrap_err();
            assert!(matches!(&error, NodeError::BadRequest(text) if text.contains("picture")));
        }
    }

    #[test]
    fn images_go_before_the_words_of_the_last_user_message() {
        let mut messages = vec![user("old"), user("new"), system("after")];
        put_in_front(&mut messages, vec![image("u")]);
        assert_eq!(messages[1].parts, [image("u"), Part::Text("new".into())]);

        let mut messages = vec![system("alone")];
        put_in_front(&mut messages, vec![image("u")]);
        assert_eq!((messages.len(), messages[1].speaker), (2, Speaker::User));
    }
}
