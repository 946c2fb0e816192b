//! Files that come with a question: where they lie, who gets them back, and
//! what the model is shown of them, also later.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::replay::{SENTENCE, Stage};
use crate::support::scripted::Answer;
use crate::support::{Flow, Options, Parlor, Reply, Scripted};

/// A picture of one dot, as recorded.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn upload(kind: &str, name: &str, mime: &str, data: &str) -> Value {
    json!({"type": kind, "name": name, "mime": mime, "data": data})
}

fn dot(name: &str) -> Value {
    upload("file", name, "image/png", &format!("data:image/png;base64,{DOT}"))
}

pub fn text_file(name: &str, text: &str) -> Value {
    let data = format!("data:text/plain;base64,{}", BASE64_STANDARD.encode(text));
    upload("file", name, "text/plain", &data)
}

pub fn file_path(flow: &str, chat: &str, name: &str) -> String {
    format!("/api/v1/get-upload-file?chatflowId={flow}&chatId={chat}&fileName={name}")
}

/// All regular files below a folder of the server's data.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files_below(&entry)) } else { found.push(entry) }
    }
    found.sort();
    found
}

pub fn uploaded(server: &Parlor) -> Vec<PathBuf> {
    files_below(&server.folder().path().join("blobs"))
}

pub async fn ask(stage: &Stage, chat: &str, uploads: Value) -> Reply {
    let body = json!({"question": "What is this?", "chatId": chat, "uploads": uploads});
    stage.server.ask(stage.flow("b-conversation"), &body).await
}

async fn rows(server: &Parlor, flow: &str, session: &str) -> Value {
    let path = format!("/api/v1/chatmessage/{flow}?sessionId={session}");
    server.operator().get(&path).await.expect(200).json()
}

#[tokio::test]
async fn a12_a_file_comes_back_as_an_attachment_whatever_its_uploader_said_of_it() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let html = "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==";
    let uploads = json!([dot("dot.png"), upload("file", "Grüße.html", "text/html", html)]);
    ask(&stage, "c1", uploads).await.expect(200);
    for (name, shown, kind) in [
        ("dot.png", "attachment; filename=\"dot.png\"", "image/png"),
        (
            "Gr%C3%BC%C3%9Fe.html",
            "attachment; filename=\"Gr__e.html\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.html",
            "application/octet-stream",
        ),
    ] {
        let reply = stage.server.anyone().get(&file_path(flow, "c1", name)).await.expect(200);
        assert_eq!(reply.header("content-disposition"), Some(shown));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.media_type(), kind);
    }
    let reply = stage.server.anyone().get(&file_path(flow, "c1", "Gr%C3%BC%C3%9Fe.html")).await;
    assert_eq!(reply.body, "<script>alert(1)</script>");
}

#[tokio::test]
async fn a_large_file_comes_back_whole() {
    let stage = Stage::set().await;
    let text: String = (0..40_000).map(|n| format!("{n} ")).collect();
    ask(&stage, "c1", json!([text_file("long.txt", &text)])).await.expect(200);
    let path = file_path(stage.flow("b-conversation"), "c1", "long.txt");
    let reply = stage.server.anyone().get(&path).await.expect(200);
    assert_eq!(reply.header("content-length"), Some(text.len().to_string().as_str()));
    assert_eq!(reply.body, text);
}

#[tokio::test]
async fn the_stored_question_tells_its_uploads_as_flowise_does() {
    let stage = Stage::set().await;
    let url = upload("url", "y.png", "image/png", "https://x.example/y.png");
    let uploads = json!([
        dot("dot.png"),
        url,
        upload("file:full", "n.txt", "text/plain", "Full text of the file"),
        upload("audio", "a.webm", "audio/webm", "data:audio/webm;base64,GkXf"),
        upload("file:rag", "r.txt", "text/plain", "data:text/plain;base64,QUJD"),
    ]);
    ask(&stage, "c1", uploads).await.expect(200);
    let rows = rows(&stage.server, stage.flow("b-conversation"), "c1").await;
    let expected = json!([
        {"type": "stored-file", "name": "dot.png", "mime": "image/png"},
        {"data": "https://x.example/y.png", "name": "y.png", "type": "url", "mime": "image/png"},
        {"type": "stored-file:full", "name": "n.txt", "mime": "text/plain"},
        {"type": "stored-file", "name": "a.webm", "mime": "audio/webm"},
        {"type": "stored-file", "name": "r.txt", "mime": "text/plain"},
    ]);
    assert_eq!(rows[0]["fileUploads"], expected);
    assert_eq!(rows[0]["fileUploads"].to_string(), expected.to_string(), "order of the keys");
    assert_eq!(rows[1]["fileUploads"], Value::Null);
    assert_eq!(rows[0]["content"], "What is this?");

    let body = json!({"question": "q", "chatId": "c2", "uploads": []});
    stage.server.ask(stage.flow("b-conversation"), &body).await.expect(200);
    let rows = self::rows(&stage.server, stage.flow("b-conversation"), "c2").await;
    assert_eq!(rows[0]["fileUploads"], json!([]));
}

#[tokio::test]
async fn attached_text_stands_before_the_question_now_and_in_later_turns() {
    let stage = Stage::set().await;
    let full = upload("file:full", "n.txt", "text/plain", "Full {text} {{of}} the file");
    let reply = ask(&stage, "c1", json!([full])).await.expect(200).json();
    assert_eq!(reply["question"], "What is this?");
    let shown = "<doc name='n.txt'>Full {text} {{of}} the file</doc>\n\n\n\nWhat is this?";
    let asked = stage.model.take_received();
    assert_eq!(asked[0].messages().last().unwrap().1, shown);

    ask(&stage, "c1", json!(null)).await.expect(200);
    let asked = stage.model.take_received();
    let messages: Vec<_> = asked[0].messages().into_iter().skip(1).collect();
    let expected = [("user", shown), ("assistant", SENTENCE), ("user", "What is this?")];
    let expected = expected.map(|(role, text)| (role.to_owned(), text.to_owned()));
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn a_prompt_can_place_attached_text_where_it_wants_it() {
    let stage = Stage::set().await;
    let credential = stage.server.openai_credential().await;
    let mut flow = Flow::golden("a-llmchain").with_openai(&credential, &stage.model.basepath());
    let mut nodes = flow.0["nodes"].as_array().unwrap().iter();
    let prompt = nodes.find(|node| node["data"]["category"] == "Prompts").unwrap();
    let id = prompt["id"].as_str().unwrap().to_owned();
    flow = flow.with_input(&id, "template", json!("File: {file}")).with_input(
        &id,
        "promptValues",
        json!("{\"file\": \"{{file_attachment}}\"}"),
    );
    let flow = stage.server.install("placed", &flow).await;
    let full = upload("file:full", "n.txt", "text/plain", "Line \"one\"\nline two");
    let body = json!({"question": "sum up", "uploads": [full]});
    stage.server.ask(&flow, &body).await.expect(200);
    let asked = stage.model.take_received();
    let expected = "File: <doc name='n.txt'>Line \"one\"\nline two</doc>\n\n";
    assert_eq!(asked[0].messages().last().unwrap().1, expected);
}

#[tokio::test]
async fn an_image_is_never_shown_to_a_model_whose_node_does_not_allow_images() {
    let stage = Stage::set().await;
    for _ in 0..2 {
        ask(&stage, "c1", json!([dot("dot.png")])).await.expect(200);
    }
    for asked in stage.model.take_received() {
        assert!(!asked.text.contains("image_url"), "{}", asked.text);
    }
}

#[tokio::test]
async fn an_earlier_image_can_be_named_again_without_its_data() {
    let stage = Stage::set().await;
    let flow = stage.flow("e-images");
    let server = &stage.server;
    let ask = |uploads: Value| {
        let body = json!({"question": "What is this?", "chatId": "c1", "uploads": uploads});
        async move { server.ask(flow, &body).await }
    };
    ask(json!([dot("dot.png")])).await.expect(200);
    stage.model.take_received();
    let again = json!([{"type": "stored-file", "name": "dot.png", "mime": "image/png"}]);
    ask(again).await.expect(200);
    let asked = stage.model.take_received();
    let last = asked[0].body["messages"].as_array().unwrap().last().unwrap().clone();
    let url = format!("data:image/png;base64,{DOT}");
    let expected = json!([{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]);
    assert_eq!(last["content"], expected);
    let missing = json!([{"type": "stored-file", "name": "other.png", "mime": "image/png"}]);
    let message = ask(missing).await.expect_error(400);
    assert!(message.contains("uploads[0].name"), "{message}");
}

#[tokio::test]
async fn a_bad_upload_is_refused_by_the_name_of_its_field_and_nothing_is_kept() {
    let stage = Stage::set().await;
    let flow = stage.flow("e-images");
    let png = |data: &str| json!([dot("ok.png"), upload("file", "b.png", "image/png", data)]);
    let named = |name: &str| json!([dot("ok.png"), dot(name)]);
    let many: Vec<Value> = (0..21).map(|n| dot(&format!("{n}.png"))).collect();
    let cases = [
        (png("notadatauri"), "uploads[1].data"),
        (png("data:image/png;base64,@@@@"), "uploads[1].data"),
        (png(""), "uploads[1].data"),
        (named(".."), "uploads[1].name"),
        (named("a\u{0}b.png"), "uploads[1].name"),
        (named(&"x".repeat(300)), "uploads[1].name"),
        (json!([dot("ok.png"), upload("exe", "a", "x", "y")]), "uploads[1].type"),
        (json!([upload("url", "a", "image/png", "file:///etc/passwd")]), "uploads[0].data"),
        (json!([upload("file:full", "a.txt", "text/plain", "")]), "uploads[0].data"),
        (
            json!([upload("file", "a.bmp", "image/bmp", "data:image/bmp;base64,QUJD")]),
            "uploads[0].mime",
        ),
        (json!([upload("file", "a", "a,b", "data:x/y;base64,QUJD")]), "uploads[0].mime"),
        (json!([upload("file", "a", &"x".repeat(300), "data:x/y;base64,QUJD")]), "uploads[0].mime"),
        (json!(["x"]), "uploads[0]"),
        (json!(many), "uploads"),
    ];
    for (uploads, field) in cases {
        let body = json!({"question": "q", "chatId": "bad", "uploads": uploads});
        for streaming in [false, true] {
            let mut body = body.clone();
            body["streaming"] = json!(streaming);
            let message = stage.server.ask(flow, &body).await.expect_error(400);
            assert!(message.contains(field), "{field}: {message}");
        }
    }
    let chat = json!({"question": "q", "chatId": "../../etc", "uploads": [dot("a.png")]});
    stage.server.ask(flow, &chat).await.expect_error(400);
    assert!(stage.model.take_received().is_empty(), "a refused upload reached the model");
    assert_eq!(uploaded(&stage.server), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_image_over_the_limit_is_refused() {
    let model = Scripted::saying(SENTENCE).await;
    let server = Parlor::start_with(Options::default().env("PARLOR_IMAGE_LIMIT", "50"));
    let flow = server.install_conversation(&model.basepath()).await;
    let body = json!({"question": "q", "uploads": [dot("dot.png")]});
    server.ask(&flow, &body).await.expect_error(413);
    let body = json!({"question": "q", "uploads": [text_file("long.txt", &"x".repeat(500))]});
    server.ask(&flow, &body).await.expect(200);
}

#[tokio::test]
async fn a_full_quota_refuses_new_files_until_old_ones_are_deleted() {
    let model = Scripted::saying(SENTENCE).await;
    let server = Parlor::start_with(Options::default().env("PARLOR_UPLOAD_QUOTA", "1000"));
    let flow = server.install_conversation(&model.basepath()).await;
    let ask = |chat: &str| {
        let file = text_file("a.txt", &"x".repeat(600));
        let body = json!({"question": "q", "chatId": chat, "uploads": [file]});
        let (server, flow) = (&server, &flow);
        async move { server.ask(flow, &body).await }
    };
    ask("one").await.expect(200);
    ask("two").await.expect_error(503);
    let path = format!("/api/v1/chatmessage/{flow}?sessionId=one");
    server.operator().delete(&path).await.expect(200);
    ask("two").await.expect(200);
}

#[tokio::test]
async fn a_missing_file_is_not_found() {
    let stage = Stage::set().await;
    let exchange = crate::support::golden::load("get-upload-file-missing");
    let message = stage.send(&exchange).await.expect_error(404);
    assert_eq!(message, "File none.png not found");
}

#[tokio::test]
async fn one_chat_does_not_see_the_files_of_another() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    ask(&stage, "c1", json!([text_file("mine.txt", "mine")])).await.expect(200);
    stage.server.anyone().get(&file_path(flow, "c2", "mine.txt")).await.expect_error(404);
    let other = stage.flow("e-images");
    stage.server.anyone().get(&file_path(other, "c1", "mine.txt")).await.expect_error(404);
}

#[tokio::test]
async fn files_are_deleted_with_their_session_and_the_neighbours_keep_theirs() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    for chat in ["s1", "s10", "s1_x"] {
        ask(&stage, chat, json!([text_file("mine.txt", chat)])).await.expect(200);
    }
    let body = json!({
        "question": "q", "chatId": "window", "overrideConfig": {"sessionId": "s1"},
        "uploads": [text_file("other.txt", "x")],
    });
    stage.server.ask(flow, &body).await.expect(200);
    let path = format!("/api/v1/chatmessage/{flow}?sessionId=s1");
    stage.server.operator().delete(&path).await.expect(200);
    stage.server.anyone().get(&file_path(flow, "s1", "mine.txt")).await.expect_error(404);
    stage.server.anyone().get(&file_path(flow, "window", "other.txt")).await.expect_error(404);
    for chat in ["s10", "s1_x"] {
        let reply = stage.server.anyone().get(&file_path(flow, chat, "mine.txt")).await.expect(200);
        assert_eq!(reply.body, chat);
    }
}

#[tokio::test]
async fn files_are_deleted_with_their_chatflow() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    ask(&stage, "c1", json!([text_file("mine.txt", "mine")])).await.expect(200);
    assert_eq!(uploaded(&stage.server).len(), 1);
    stage.server.operator().delete(&format!("/api/v1/chatflows/{flow}")).await.expect(200);
    assert_eq!(uploaded(&stage.server), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_turn_that_fails_keeps_no_file_and_leaves_an_older_one_alone() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    ask(&stage, "c1", json!([text_file("mine.txt", "old")])).await.expect(200);
    stage.model.answer(|_| Answer::Whole { status: 400, headers: vec![], body: String::new() });
    ask(&stage, "c1", json!([text_file("mine.txt", "new")])).await.expect_error(502);
    let reply = stage.server.anyone().get(&file_path(flow, "c1", "mine.txt")).await.expect(200);
    assert_eq!(reply.body, "old");
    assert_eq!(uploaded(&stage.server).len(), 1);
}

#[tokio::test]
async fn a_chatflow_that_stores_no_messages_keeps_no_files_either() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let path = format!("/api/v1/chatflows/{flow}");
    let row = stage.server.operator().get(&path).await.expect(200).json();
    let config: Value = serde_json::from_str(row["apiConfig"].as_str().unwrap_or("{}")).unwrap();
    let mut config = if config.is_object() { config } else { json!({}) };
    config["storeMessages"] = json!(false);
    let change = json!({"apiConfig": config.to_string()});
    stage.server.operator().put(&path, &change).await.expect(200);
    ask(&stage, "c1", json!([text_file("mine.txt", "new")])).await.expect(200);
    assert_eq!(uploaded(&stage.server), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn files_survive_a_power_cut_and_what_was_half_written_does_not() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation").to_owned();
    ask(&stage, "c1", json!([text_file("mine.txt", "mine")])).await.expect(200);
    let Stage { mut server, .. } = stage;
    server.kill9();
    let gone = server.folder().path().join("blobs/00000000-0000-4000-8000-000000000000/chat");
    std::fs::create_dir_all(&gone).unwrap();
    std::fs::write(gone.join("a.txt"), "of a chatflow that is no more").unwrap();
    std::fs::write(server.folder().path().join("blobs/staging/half"), "half").unwrap();
    let server = server.restart();
    let reply = server.anyone().get(&file_path(&flow, "c1", "mine.txt")).await.expect(200);
    assert_eq!(reply.body, "mine");
    assert_eq!(uploaded(&server).len(), 1);
}
