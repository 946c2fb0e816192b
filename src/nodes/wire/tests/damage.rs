//! Answers that are cut, damaged or odd, and the connections they leave.

use super::*;
use crate::wire::eventstream::test_support::event;

/// An answer in chunks; a test server wants it for ever.
pub(super) fn chunked(chunks: &[&[u8]]) -> &'static [&'static [u8]] {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk =
        |chunk: &&[u8]| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
    let chunks = chunks.iter().map(chunk).chain([b"0\r\n\r\n".to_vec()]);
    let pieces = std::iter::once(head).chain(chunks).map(|piece| &*piece.leak());
    pieces.collect::<Vec<_>>().leak()
}

#[test]
fn a_streamed_answer_leaves_its_connection_to_the_next() {
    const OPENAI: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"37\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}       \n\n\r\n",
        b"e\r\ndata: [DONE]\n\n\r\n",
        b"0\r\n\r\n",
    ];
    const OLLAMA: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"29\r\n{\"message\":{\"content\":\"Hi\"},\"done\":true}\n\r\n",
        b"0\r\n\r\n",
    ];
    let gemini: &[u8] = b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]},\
                          \"finishReason\":\"STOP\"}]}\n\n";
    let hi = event("contentBlockDelta", r#"{"delta":{"text":"Hi"}}"#);
    let stop = event("messageStop", r#"{"stopReason":"end_turn"}"#);
    let count = event("metadata", r#"{"usage":{}}"#);
    for (name, pieces) in [
        ("chatOpenAI", OPENAI),
        ("chatOllama", OLLAMA),
        ("chatGoogleGenerativeAI", chunked(&[gemini])),
        ("awsChatBedrock", chunked(&[&hi, &stop, &count])),
    ] {
        run(Box::pin(async move {
            let server = TestServer::keeping_alive(pieces).await;
            let ctx = server.serving(TestTurn::asking("hi").ctx());
            let model = built(name, [("modelName", source("m"))]);

            for _ in 0..20 {
                let reply = model.call(hello(), &ctx, true).await.unwrap();
                assert_eq!(reply.text, "Hi");
            }

            // The pool takes a connection back in a task of its own, so that a
            // call right after another may find none.
            assert!(server.n_requests() < 10, "{name}: {} connections", server.n_requests());
        }));
    }
}

#[test]
fn an_answer_that_is_damaged_is_never_passed_off_as_whole() {
    let unnamed =
        r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"a"}]},"finish_reason":"stop"}]}"#;
    let unstopped = r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    for (name, script, problem) in [
        ("chatOpenAI", unnamed, "called a tool without its name"),
        ("chatAnthropic", unstopped, "broke off in the middle of its answer"),
    ] {
        run(Box::pin(async move {
            let model = built(name, [("modelName", source("m"))]);

            let (reply, ..) = ask(&*model, hello(), stream(script), true).await;

            let error = reply.unwrap_err().to_string();
            assert!(error.contains(problem), "{name}: {error}");
        }));
    }
    run(Box::pin(async {
        let model = built("chatOpenAI", []);
        let empty = answer("200", "", r#"{"choices":[{}]}"#);

        let (reply, ..) = ask(&*model, hello(), empty, false).await;

        assert_eq!(reply.unwrap_err().to_string(), "OpenAI sent a reply without an answer");
    }));
}

#[test]
fn half_a_character_is_an_error_and_not_a_question_mark() {
    const PIECES: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 62\r\n\r\n",
        b"data: {\"choices\":[{\"delta\":{\"content\":\"caf\xC3\"}}]}\n\ndata: [DONE]",
    ];
    run(Box::pin(async {
        let server = TestServer::keeping_alive(PIECES).await;
        let ctx = server.serving(TestTurn::asking("hi").ctx());

        let error = built("chatOpenAI", []).call(hello(), &ctx, true).await.unwrap_err();

        assert_eq!(error.to_string(), "OpenAI sent an answer that is no valid JSON");
    }));
}

#[test]
fn calls_that_a_gateway_numbers_alike_are_told_apart_by_their_ids() {
    run(Box::pin(async {
        let script = concat!(
            r#"data: {"choices":[{"delta":{"tool_calls":["#,
            r#"{"index":0,"id":"a","function":{"name":"x","arguments":"{}"}},"#,
            r#"{"index":0,"id":"b","function":{"name":"y","arguments":""}}]},"#,
            r#""finish_reason":"stop"}]}"#,
        );

        let (reply, ..) = ask(&*built("chatOpenAI", []), hello(), stream(script), true).await;

        let reply = reply.unwrap();
        let names: Vec<_> = reply.tool_calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["x", "y"]);
        assert_eq!(reply.finish, FinishReason::ToolCalls);
    }));
}

#[test]
fn a_declined_schema_is_answered_with_the_models_own_words() {
    run(Box::pin(async {
        let body = r#"{"choices":[{"message":{"content":null,"refusal":"I cannot"},"finish_reason":"stop"}]}"#;

        let (reply, ..) =
            ask(&*built("chatOpenAI", []), hello(), answer("200", "", body), false).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("I cannot", FinishReason::ContentFilter));
    }));
}
