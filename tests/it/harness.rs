//! The harness itself works: a test that fails because of it tells nothing.

use std::time::Duration;

use serde_json::json;

use crate::support::ports::Refusing;
use crate::support::scripted::words;
use crate::support::shape::differences;
use crate::support::{Aimock, Answer, Caller, Scripted, eventually, golden, raw, sse};

fn chat(text: &str, stream: bool) -> serde_json::Value {
    json!({"model": "m", "stream": stream, "messages": [
        {"role": "system", "content": "sys"}, {"role": "user", "content": text}]})
}

#[test]
fn every_recorded_exchange_can_be_read() {
    let names = golden::names();
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        let exchange = golden::load(&name);
        assert!(exchange.path.starts_with("/api/v1/"), "{name}: {}", exchange.path);
        if let Some(response) = &exchange.response {
            assert!((200..600).contains(&response.status), "{name}");
            if response.media_type() == "text/event-stream" {
                let events = sse::parse(&response.body).unwrap();
                assert_eq!(events.last().unwrap().name, "end", "{name}");
            }
        }
    }
}

#[test]
fn every_recorded_upstream_call_has_messages_or_texts_to_embed() {
    for name in golden::names() {
        let file = format!("goldens/{name}.upstream.json");
        if crate::support::fixture(&file).is_file() {
            for body in golden::upstream_bodies(&name) {
                // A form is recorded as its text, and embeddings have an input.
                let is_read = body["messages"].is_array() || !body["input"].is_null();
                assert!(is_read || body.is_string(), "{name}");
            }
        }
    }
}

#[test]
fn a_recorded_stream_is_read_as_its_events() {
    let events = sse::parse(&golden::load("a-predict-stream").response().body).unwrap();
    assert_eq!(sse::outline(&events), ["start", "token", "metadata", "end"]);
    let sentence = "The quick brown fox jumps over the lazy dog and then it sleeps all day long. ";
    assert_eq!(sse::text(&events), sentence);
    assert_eq!(sse::only(&events, "metadata")["question"], "socks");
}

#[test]
fn a_stream_that_breaks_the_grammar_is_refused() {
    for (bad, why) in [
        ("message:\ndata:{\"event\":\"token\",\"data\":\"a\"}\n", "cut off"),
        ("message\ndata:{\"event\":\"token\",\"data\":\"a\"}\n\n", "before token"),
        ("message:\ndata:{\"event\":\"end\",\"data\":\"[DONE]\"}\n\n", "before end"),
        ("event: token\ndata: \"a\"\n\n", "event: token"),
        ("data:{}\n\n", "one line"),
    ] {
        let error = sse::parse(bad).unwrap_err();
        assert!(error.contains(why), "{bad:?} -> {error}");
    }
}

#[test]
fn shapes_differ_by_keys_order_type_and_value_but_not_by_fresh_ids_or_additions() {
    let id = "2696b029-1424-4d14-a376-63b9f081b5df";
    let recorded = json!({"text": "a", "chatId": id, "n": 1});
    let fresh = "aaf128dc-104a-49be-b39c-6a3194bf5729";
    let same = json!({"text": "a", "chatId": fresh, "usage": {}, "n": 1});
    assert_eq!(differences(&recorded, &same), Vec::<String>::new());
    for other in [
        json!({"chatId": fresh, "text": "a", "n": 1}),
        json!({"text": "a", "chatId": fresh}),
        json!({"text": "b", "chatId": fresh, "n": 1}),
        json!({"text": "a", "chatId": "no uuid", "n": 1}),
        json!({"text": "a", "chatId": fresh, "n": "1"}),
    ] {
        assert!(!differences(&recorded, &other).is_empty(), "{other}");
    }
}

#[tokio::test]
async fn aimock_speaks_three_wire_formats_and_shows_what_it_received() {
    let model = Aimock::saying("Bonjour tout le monde.");
    assert!(model.is_healthy().await);
    let caller = Caller::new(model.base());
    let openai = caller.post("/v1/chat/completions", &chat("hi", false)).await.expect(200).json();
    assert_eq!(openai["choices"][0]["message"]["content"], "Bonjour tout le monde.");
    let body = json!({"model": "c", "max_tokens": 9, "system": "sys",
                      "messages": [{"role": "user", "content": "hi"}]});
    let anthropic = caller.post("/v1/messages", &body).await.expect(200).json();
    assert_eq!(anthropic["content"][0]["text"], "Bonjour tout le monde.");
    let ollama = caller.post("/api/chat", &chat("hi", false)).await.expect(200).json();
    assert_eq!(ollama["message"]["content"], "Bonjour tout le monde.");
    let calls = model.received().await;
    let paths: Vec<_> = calls.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(paths, ["/v1/chat/completions", "/v1/messages", "/api/chat"]);
    for call in &calls {
        let expected = [("system", "sys"), ("user", "hi")];
        let expected = expected.map(|(role, text)| (role.to_owned(), text.to_owned()));
        assert_eq!(call.messages(), expected, "{}", call.path);
    }
}

#[tokio::test]
async fn the_scripted_model_answers_whole_and_streamed_and_echoes_what_it_got() {
    let model = Scripted::saying("one two ").await;
    let caller = Caller::new(model.basepath().trim_end_matches("/v1"));
    let path = "/v1/chat/completions";
    let whole = caller.post(path, &chat("hi", false)).await.expect(200).json();
    assert_eq!(whole["choices"][0]["message"]["content"], "one two ");
    let streamed = caller.post(path, &chat("hi", true)).await.expect(200);
    let data: Vec<_> = streamed.body.lines().filter_map(|l| l.strip_prefix("data: ")).collect();
    assert_eq!(data.len(), 5, "role, two tokens, stop, done: {data:?}");
    assert_eq!(*data.last().unwrap(), "[DONE]");
    model.answer(|_| Answer::Echo);
    let echo = caller.post(path, &chat("who am I", false)).await.json();
    assert_eq!(echo["choices"][0]["message"]["content"], "who am I");
    assert_eq!(model.take_received().len(), 3);
    assert_eq!(model.n_open(), 0);
}

#[tokio::test]
async fn the_scripted_model_counts_a_call_as_open_until_its_caller_leaves() {
    let model = Scripted::start(|_| Answer::Stall(words("a b c "))).await;
    let caller = Caller::new(model.basepath().trim_end_matches("/v1"));
    let response = caller.open_post("/v1/chat/completions", &chat("hi", true)).await;
    assert_eq!(model.n_open(), 1);
    drop(response);
    assert!(eventually(Duration::from_secs(60), async || model.n_open() == 0).await);
}

#[tokio::test]
async fn the_scripted_model_can_refuse_reset_and_break_off() {
    let client = crate::support::http::client();
    let nobody = Refusing::bind();
    let refused = client.post(format!("{}/chat/completions", nobody.basepath()));
    assert!(refused.send().await.unwrap_err().is_connect());
    let model = Scripted::start(|_| Answer::Reset).await;
    let url = format!("{}/chat/completions", model.basepath());
    assert!(client.post(&url).body(chat("a", true).to_string()).send().await.is_err());
    for stream in [true, false] {
        model.answer(|_| Answer::BreakOff(words("a b ")));
        let reply = client.post(&url).body(chat("a", stream).to_string()).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        assert!(reply.text().await.is_err(), "a broken answer was read as a whole one");
    }
}

#[tokio::test]
async fn a_raw_request_is_sent_as_written() {
    let model = Scripted::saying("ok").await;
    let address = model.basepath();
    let address = address.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let reply = raw::request(&address, "GET", "/a/./b//%2e", &["X-Odd: 1"]).await;
    assert_eq!(reply.status, 200);
    let received = model.take_received();
    assert_eq!(received[0].path, "/a/./b//%2e");
    assert_eq!(received[0].header("x-odd"), Some("1"));
}
