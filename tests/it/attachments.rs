//! Attachments: the text of files, given to whoever may ask the chatflow.

use std::io::Write;

use serde_json::{Value, json};

use crate::replay::Stage;
use crate::support::shape::differences;
use crate::support::{Reply, golden};

const CHAT: &str = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";
const GALLEON: &[u8] = b"The museum closes at nine. The secret word is GALLEON.";

type File<'a> = (&'a str, &'a str, &'a [u8]);

async fn attach(stage: &Stage, flow: &str, chat: &str, files: &[File<'_>]) -> Reply {
    let path = format!("/api/v1/attachments/{flow}/{chat}");
    stage.server.anyone().post_form(&path, &[], files).await
}

/// Flow b with this `fullFileUpload`.
async fn flow_with(stage: &Stage, setting: Value) -> String {
    let mut row = crate::support::Flow::golden("b-conversation").row("attachments");
    row["chatbotConfig"] = Value::from(json!({"fullFileUpload": setting}).to_string());
    stage.server.install_row(&row).await
}

fn docx(body: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(body).unwrap();
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn a_text_file_is_answered_with_its_text_as_recorded() {
    let stage = Stage::set().await;
    let on = flow_with(&stage, json!({"status": true})).await;
    let silent = stage.flow("b-conversation");
    for (name, flow) in [("attachments-create", on.as_str()), ("attachments-not-enabled", silent)] {
        let reply = attach(&stage, flow, CHAT, &[("up1.txt", "text/plain", GALLEON)]).await;
        let recorded = golden::load(name).response().json();
        let found = differences(&recorded, &reply.expect(200).json());
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
    let path = format!("/api/v1/get-upload-file?chatflowId={on}&chatId={CHAT}&fileName=up1.txt");
    let reply = stage.server.anyone().get(&path).await.expect(200);
    assert_eq!(reply.body.as_bytes(), GALLEON);
}

#[tokio::test]
async fn a_chatflow_whose_attachments_are_switched_off_takes_none() {
    let stage = Stage::set().await;
    let off = flow_with(&stage, json!({"status": false})).await;
    let reply = attach(&stage, &off, CHAT, &[("up1.txt", "text/plain", GALLEON)]).await;
    reply.expect_error(403);
}

#[tokio::test]
async fn only_the_types_that_the_chatflow_allows_are_taken() {
    let stage = Stage::set().await;
    let setting = json!({"status": true, "allowedUploadFileTypes": "text/plain,application/json"});
    let flow = flow_with(&stage, setting).await;
    attach(&stage, &flow, CHAT, &[("a.txt", "text/plain", b"x")]).await.expect(200);
    for name in ["a.csv", "a.pdf"] {
        let files: [File<'_>; 1] = [(name, "text/plain", b"x")];
        let message = attach(&stage, &flow, CHAT, &files).await.expect_error(400);
        assert!(message.contains(name) && message.contains("text/plain"), "{message}");
    }
}

#[tokio::test]
async fn each_format_gives_its_text() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let word = docx(b"<d><p><r><t>Fish &amp; chips</t></r></p></d>");
    let files: [File<'_>; 4] = [
        ("a.csv", "text/csv", b"name,age\nAnn,7\nBob,8"),
        ("a.json", "application/json", br#"{"a": "x", "b": ["y"]}"#),
        ("a.html", "text/html", b"<p>hi</p>"),
        ("a.docx", "", &word),
    ];
    let files = files.map(|(name, mime, bytes)| {
        (name, if mime.is_empty() { "application/octet-stream" } else { mime }, bytes)
    });
    let found = attach(&stage, flow, CHAT, &files).await.expect(200).json();
    let contents: Vec<_> = found.as_array().unwrap().iter().map(|file| &file["content"]).collect();
    let expected =
        ["name: Ann\nage: 7\nname: Bob\nage: 8", "x\ny", "<p>hi</p>", "Fish & chips\n\n"];
    assert_eq!(contents, expected);
    assert_eq!(found[0]["size"], 20);
}

#[tokio::test]
async fn base64_gives_the_bytes_of_any_file() {
    let stage = Stage::set().await;
    let path = format!("/api/v1/attachments/{}/{CHAT}", stage.flow("b-conversation"));
    let files: [File<'_>; 1] = [("a.bin", "application/octet-stream", &[0, 1, 2])];
    let reply = stage.server.anyone().post_form(&path, &[("base64", "true")], &files).await;
    assert_eq!(reply.expect(200).json()[0]["content"], "AAEC");
    let reply = stage.server.anyone().post_form(&path, &[], &files).await;
    let message = reply.expect_error(400);
    assert!(message.contains("a.bin"), "{message}");
}

#[tokio::test]
async fn no_file_is_an_empty_list_and_another_field_is_named() {
    let stage = Stage::set().await;
    let path = format!("/api/v1/attachments/{}/{CHAT}", stage.flow("b-conversation"));
    let reply = stage.server.anyone().post_form(&path, &[("base64", "")], &[]).await;
    assert_eq!(reply.expect(200).json(), json!([]));
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nx\r\n--b--\r\n";
    let caller = stage.server.anyone().with("content-type", "multipart/form-data; boundary=b");
    let reply = caller.send(reqwest::Method::POST, &path, Some(form.to_owned())).await;
    let message = reply.expect_error(400);
    assert!(message.contains("file") && message.contains("files"), "{message}");
    stage.server.anyone().post(&path, &json!({})).await.expect_error(400);
}

#[tokio::test]
async fn both_ids_are_uuids_or_nothing_is_read() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let file: File<'_> = ("up1.txt", "text/plain", GALLEON);
    for chat in ["att-chat-1", "..%2F..%2Fx", "a%00b", &"x".repeat(600)] {
        let message = attach(&stage, flow, chat, &[file]).await.expect_error(400);
        assert!(message.contains("chatId"), "{message}");
    }
    for id in ["not-a-uuid", "..%2Fx", "00000000-0000-4000-8000-000000000000"] {
        let reply = attach(&stage, id, CHAT, &[file]).await;
        reply.expect_error(404);
    }
    let staged = stage.server.folder().path().join("blobs/staging");
    assert_eq!(staged.read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_none_is_kept() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    for (name, bytes) in [
        ("broken.pdf", b"%PDF-1.7 nothing".as_slice()),
        ("broken.docx", b"PK\x03\x04nothing"),
        ("picture.png", b"\x89PNG\0"),
        ("../..", b"text"),
    ] {
        let files = [("fine.txt", "text/plain", b"fine".as_slice()), (name, "image/png", bytes)];
        attach(&stage, flow, CHAT, &files).await.expect_error(400);
    }
    let path = format!("/api/v1/get-upload-file?chatflowId={flow}&chatId={CHAT}&fileName=fine.txt");
    stage.server.anyone().get(&path).await.expect_error(404);
}

#[tokio::test]
async fn a13_a_bomb_hits_a_cap_and_the_server_goes_on() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let bomb = docx(&vec![b' '; 80 << 20]);
    let files: [File<'_>; 1] = [("bomb.docx", "application/octet-stream", &bomb)];
    attach(&stage, flow, CHAT, &files).await.expect_error(413);
    attach(&stage, flow, CHAT, &[("a.txt", "text/plain", b"x")]).await.expect(200);
}

#[tokio::test]
async fn a_protected_chatflow_takes_attachments_with_its_key_only() {
    let stage = Stage::set().await;
    let path = format!("/api/v1/attachments/{}/{CHAT}", stage.flow("g-protected"));
    let files: [File<'_>; 1] = [("a.txt", "text/plain", b"x")];
    stage.server.anyone().post_form(&path, &[], &files).await.expect_error(401);
    stage.server.anyone().bearer("wrong").post_form(&path, &[], &files).await.expect_error(401);
    let right = stage.server.anyone().bearer(&stage.key_of_flow_g);
    right.post_form(&path, &[], &files).await.expect(200);
}

#[tokio::test]
async fn what_was_attached_is_shown_to_the_model_with_the_question() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let found = attach(&stage, flow, CHAT, &[("up1.txt", "text/plain", GALLEON)]).await;
    let found = found.expect(200).json();
    let upload = json!({
        "type": "file:full", "name": found[0]["name"], "mime": found[0]["mimeType"],
        "data": found[0]["content"],
    });
    let body = json!({"question": "What is the word?", "chatId": CHAT, "uploads": [upload]});
    stage.server.ask(flow, &body).await.expect(200);
    let asked = stage.model.take_received();
    let last = asked[0].messages().last().unwrap().1.clone();
    assert!(last.starts_with("<doc name='up1.txt'>The museum closes"), "{last}");
}

#[tokio::test]
async fn a13_small_files_that_unpack_to_long_texts_are_bounded_together() {
    let stage = Stage::set().await;
    let word = b"<w:t>".iter().chain(&[b'x'; 9 << 20]).chain(b"</w:t>").copied();
    let bomb = docx(&word.collect::<Vec<u8>>());
    let files: Vec<File<'_>> = ["a.docx", "b.docx", "c.docx", "d.docx"]
        .map(|name| (name, "application/zip", bomb.as_slice()))
        .to_vec();
    let flow = stage.flow("b-conversation");
    attach(&stage, flow, CHAT, &files[..1]).await.expect(200);
    let message = attach(&stage, flow, CHAT, &files).await.expect_error(413);
    assert!(message.contains("d.docx"), "{message}");
}
