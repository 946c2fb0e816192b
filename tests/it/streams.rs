//! A stream stays alive while the model thinks, and ends when nobody reads it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::scripted::words;
use crate::support::server::Options;
use crate::support::{Answer, Flow, Parlor, Scripted, eventually};

const PATIENCE: Duration = Duration::from_secs(60);
const HEARTBEAT: &str = ":heartbeat\n\n";

async fn conversation(options: Options, answer: Answer) -> (Parlor, Scripted, String) {
    let model = Scripted::start(move |_| answer.clone()).await;
    let server = Parlor::start_with(options);
    let flow = server.install_conversation(&model.basepath()).await;
    (server, model, flow)
}

/// The bytes of a stream up to and with the first `end`.
async fn read_until(server: &Parlor, flow: &str, end: &str) -> String {
    let body = json!({"question": "q", "streaming": true});
    let path = format!("/api/v1/prediction/{flow}");
    let mut response = server.anyone().open_post(&path, &body).await;
    let mut text = String::new();
    while !text.contains(end) {
        let piece = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("more bytes");
        text.push_str(&String::from_utf8_lossy(&piece.unwrap().expect("the stream goes on")));
    }
    text
}

#[tokio::test]
async fn a_silent_model_leaves_heartbeats_between_the_tokens() {
    let options = Options::default().env("PARLOR_HEARTBEAT_S", "1");
    let (server, _model, flow) = conversation(options, Answer::Stall(words("one two "))).await;
    let text = read_until(&server, &flow, "\"two \"}\n\n:heartbeat\n\n").await;
    // On a busy machine the model itself may be late.
    let text = text.trim_start_matches(HEARTBEAT);
    assert!(text.starts_with("message:\ndata:{\"event\":\"start\""), "{text}");
    assert!(text.ends_with("\n\n:heartbeat\n\n"), "{text}");
}

#[tokio::test]
async fn a_stream_opens_with_a_heartbeat_when_the_first_token_is_late() {
    let options = Options::default().env("PARLOR_HEARTBEAT_S", "1");
    let (server, _model, flow) = conversation(options, Answer::Hang).await;
    let text = read_until(&server, &flow, HEARTBEAT).await;
    assert_eq!(text.replace(HEARTBEAT, ""), "", "something else came: {text}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_turn_and_its_connection() {
    let options = Options::default().env("PARLOR_READER_TIMEOUT_S", "1");
    // More than all buffers between the model and the reader hold.
    let tokens = vec!["x".repeat(1000); 25_000];
    let (server, model, flow) = conversation(options, Answer::Say(tokens)).await;
    let body = json!({"question": "q", "streaming": true, "chatId": "c"}).to_string();
    let head = format!(
        "POST /api/v1/prediction/{flow} HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();

    assert!(eventually(PATIENCE, async || !model.received().is_empty()).await, "no call");
    assert!(eventually(PATIENCE, async || model.n_open() == 0).await, "the model call goes on");

    // The kernel gives the connection up: what is written into it comes back as a reset.
    assert!(eventually(PATIENCE, async || socket.try_write(b"\r\n").is_err()).await, "it lives on");
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("metadata"), "the turn ended well");
    assert_eq!(server.messages(&flow, "").await, []);
}

#[tokio::test]
async fn a_caller_finds_its_trace_in_the_reply_and_in_the_metadata() {
    let (server, _model, flow) =
        conversation(Options::default(), Answer::Say(words("Hello you"))).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let caller = || server.anyone().with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let path = format!("/api/v1/prediction/{flow}");
    let reply = caller().post(&path, &json!({"question": "q"})).await.expect(200).json();
    assert_eq!(reply["traceId"], trace);
    let stream = caller().post(&path, &json!({"question": "q", "streaming": true})).await;
    let metadata = stream.events().into_iter().find(|event| event.name == "metadata").unwrap();
    assert_eq!(metadata.data["traceId"], trace);
    let own = server.ask(&flow, &json!({"question": "q"})).await.expect(200).json();
    assert_eq!(own["traceId"].as_str().map(str::len), Some(32), "{own}");
}

/// A conversation whose chatflow wants follow-up prompts of the same model server.
async fn with_follow_up(suggestion: &'static str) -> (Parlor, Scripted, String) {
    let model = Scripted::start(move |request| {
        let is_suggestion = request.body.get("response_format").is_some();
        Answer::Say(words(if is_suggestion { suggestion } else { "Paris." }))
    })
    .await;
    let server = Parlor::start_with(Options::default().provider("openai", &model.basepath()));
    let credential = server.openai_credential().await;
    let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
    let mut row = flow.row("Talk");
    let settings = json!({
        "status": true,
        "selectedProvider": "chatOpenAI",
        "chatOpenAI": {
            "credentialId": credential,
            "modelName": "gpt-4o-mini",
            "prompt": "What could follow {history}?",
            "temperature": "0.5",
        },
    });
    row["followUpPrompts"] = settings.to_string().into();
    let flow = server.install_row(&row).await;
    (server, model, flow)
}

#[tokio::test]
async fn follow_up_prompts_come_encoded_as_widgets_decode_them() {
    let (server, model, flow) = with_follow_up("{\"questions\":[\"Why?\",\"Since when?\"]}").await;
    let expected = json!(["Why?", "Since when?"]).to_string();

    let reply = server.ask(&flow, &json!({"question": "q", "chatId": "c"})).await.expect(200);
    let twice: Value =
        serde_json::from_str(reply.json()["followUpPrompts"].as_str().unwrap()).unwrap();
    assert_eq!(twice, Value::from(expected.clone()));

    let body = json!({"question": "q", "chatId": "c", "streaming": true});
    let stream = server.ask(&flow, &body).await;
    let metadata = stream.events().into_iter().find(|event| event.name == "metadata").unwrap();
    assert_eq!(metadata.data["followUpPrompts"], Value::from(expected.clone()));

    let path = format!("/api/v1/chatmessage/{flow}?sessionId=c");
    let stored = server.operator().get(&path).await.expect(200).json();
    assert_eq!(stored[1]["followUpPrompts"], Value::from(expected));
    let asked = model.received();
    assert_eq!(asked[1].messages(), [("user".into(), "What could follow Paris.?".into())]);
    assert_eq!(asked[1].body["temperature"], 0.5);
}

#[tokio::test]
async fn an_answer_is_not_lost_when_its_follow_up_prompts_fail() {
    let (server, _model, flow) = with_follow_up("I would rather not.").await;
    let reply = server.ask(&flow, &json!({"question": "q"})).await.expect(200).json();
    assert_eq!(reply["text"], "Paris.");
    assert_eq!(reply.get("followUpPrompts"), None);
}
