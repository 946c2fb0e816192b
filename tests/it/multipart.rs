//! Predictions as multipart forms: fields, files, and their limits.

use reqwest::Method;
use serde_json::json;

use crate::replay::{Stage, assert_same_answer, assert_same_upstream};
use crate::support::{Options, Parlor, Reply, golden};

type File<'a> = (&'a str, &'a str, &'a [u8]);

async fn ask(stage: &Stage, flow: &str, fields: &[(&str, &str)], files: &[File<'_>]) -> Reply {
    let path = format!("/api/v1/prediction/{}", stage.flow(flow));
    stage.server.anyone().post_form(&path, fields, files).await
}

const NOTE: File<'_> = ("note.txt", "text/plain", b"a note");

#[tokio::test]
async fn a_form_without_files_is_answered_as_recorded() {
    let stage = Stage::set().await;
    let name = "predict-multipart-fields";
    let fields = [("question", "hello multipart"), ("chatId", "mp-1")];
    let reply = ask(&stage, "b-conversation", &fields, &[]).await;
    assert_same_answer(&golden::load(name), &reply);
    assert_same_upstream(name, &stage.model.take_received());
}

#[tokio::test]
async fn a_form_can_ask_for_a_stream() {
    let stage = Stage::set().await;
    let fields = [("question", "hello"), ("streaming", "true")];
    let reply = ask(&stage, "b-conversation", &fields, &[]).await.expect(200);
    assert_eq!(reply.events().last().unwrap().name, "end");
}

#[tokio::test]
async fn files_are_kept_with_their_chat_and_flat_fields_override() {
    let stage = Stage::set().await;
    let fields = [
        ("question", "hello"),
        ("chatId", "mp-2"),
        ("temperature", "0.25"),
        ("sessionId", "mp-session"),
        ("history", r#"[{"role": "userMessage", "content": "earlier"}]"#),
        ("vars", r#"{"a": "b"}"#),
    ];
    let reply = ask(&stage, "b-conversation", &fields, &[NOTE]).await.expect(200).json();
    assert_eq!((&reply["sessionId"], &reply["chatId"]), (&json!("mp-session"), &json!("mp-2")));
    let asked = stage.model.take_received();
    assert_eq!(asked[0].body["temperature"], 0.25);
    assert_eq!(asked[0].messages()[1], ("user".to_owned(), "earlier".to_owned()));
    let flow = stage.flow("b-conversation");
    let path = format!("/api/v1/get-upload-file?chatflowId={flow}&chatId=mp-2&fileName=note.txt");
    assert_eq!(stage.server.anyone().get(&path).await.expect(200).body, "a note");
}

#[tokio::test]
async fn without_files_flat_fields_change_nothing_but_bracket_names_do() {
    let stage = Stage::set().await;
    let fields = [("question", "hello"), ("temperature", "0.25")];
    ask(&stage, "b-conversation", &fields, &[]).await.expect(200);
    let fields = [("question", "hello"), ("overrideConfig[temperature]", "0.25")];
    ask(&stage, "b-conversation", &fields, &[]).await.expect(200);
    let asked = stage.model.take_received();
    let temperatures: Vec<_> = asked.iter().map(|call| call.body["temperature"].clone()).collect();
    assert_eq!(temperatures, [json!(0.9), json!(0.25)]);
}

#[tokio::test]
async fn braces_in_a_field_or_a_file_name_are_text() {
    let stage = Stage::set().await;
    let fields =
        [("question", "{{$vars.a}} {{question}}"), ("systemMessagePrompt", "{{question}}")];
    let file: File<'_> = ("{{question}}.txt", "text/plain", b"x");
    ask(&stage, "b-conversation", &fields, &[file]).await.expect(200);
    let asked = stage.model.take_received();
    let messages = asked[0].messages();
    assert_eq!(messages.last().unwrap().1, "{{$vars.a}} {{question}}");
    assert!(!messages[0].1.contains("$vars"), "{messages:?}");
}

#[tokio::test]
async fn a_bad_form_is_refused_by_the_name_of_its_field() {
    let stage = Stage::set().await;
    let deep = "overrideConfig[a][b][c][d][e]";
    for (fields, named) in [
        (vec![("history", "nope"), ("question", "q")], "history"),
        (vec![(deep, "x"), ("question", "q")], "overrideConfig"),
        (vec![("question[a]", "x")], "question"),
        (vec![("chatId", "c")], "question"),
        (vec![("question", "q"), ("temperature", "warm")], "temperature"),
    ] {
        let message = ask(&stage, "b-conversation", &fields, &[NOTE]).await.expect_error(400);
        assert!(message.contains(named), "{named}: {message}");
    }
    let many: Vec<File<'_>> = vec![NOTE; 21];
    let message =
        ask(&stage, "b-conversation", &[("question", "q")], &many).await.expect_error(400);
    assert!(message.contains("files"), "{message}");
    let names: Vec<String> = (0..1_001).map(|n| format!("f{n}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    ask(&stage, "b-conversation", &fields, &[]).await.expect_error(400);
    let long = "x".repeat(2 << 20);
    ask(&stage, "b-conversation", &[("question", &long)], &[]).await.expect_error(413);
    assert!(stage.model.take_received().is_empty(), "a refused form reached the model");
}

#[tokio::test]
async fn a_broken_body_is_refused() {
    let stage = Stage::set().await;
    let path = format!("/api/v1/prediction/{}", stage.flow("b-conversation"));
    let part = "--b\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nhi";
    let wrong_field = "--b\r\nContent-Disposition: form-data; name=\"upload\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n";
    let headers = format!("--b\r\n{}\r\n\r\nx\r\n--b--\r\n", "X: y\r\n".repeat(100));
    for (kind, body) in [
        ("multipart/form-data", part),
        ("multipart/form-data; boundary=b", part),
        ("multipart/form-data; boundary=b", "nothing"),
        ("multipart/form-data; boundary=b", ""),
        ("multipart/form-data; boundary=b", wrong_field),
        ("multipart/form-data; boundary=b", headers.as_str()),
        ("multipart/form-data; boundary=b", "--b\r\n\r\n\r\n\r\n--b--\r\n"),
    ] {
        let caller = stage.server.anyone().with("content-type", kind);
        let reply = caller.send(Method::POST, &path, Some(body.to_owned())).await;
        let message = reply.expect_error(400);
        assert!(!message.contains('/'), "{message}");
    }
}

#[tokio::test]
async fn a13_a_body_over_the_limit_or_a_packed_one_is_refused() {
    let server = Parlor::start_with(Options::default().env("FLOWISE_FILE_SIZE_LIMIT", "10kb"));
    let row = json!({"name": "limited", "flowData": "{\"nodes\": [], \"edges\": []}"});
    let flow = server.install_row(&row).await;
    let path = format!("/api/v1/prediction/{flow}");
    let bytes = vec![b'x'; 20 << 10];
    let files: [File<'_>; 1] = [("a.txt", "text/plain", &bytes)];
    server.anyone().post_form(&path, &[("question", "q")], &files).await.expect_error(413);
    let packed = server.anyone().with("content-encoding", "gzip");
    packed.post_form(&path, &[("question", "q")], &[NOTE]).await.expect_error(415);
}
