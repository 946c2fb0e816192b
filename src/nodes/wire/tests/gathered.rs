//! Replies that are read in the pauses of a crowd.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::damage::chunked;
use super::*;
use crate::events::Crowd;

/// A stream of OpenAI's wire format in HTTP chunks, as servers write it.
fn script(texts: impl Iterator<Item = String>, has_end: bool) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let mut chunk = |data: &str| {
        let event = format!("data: {data}\n\n");
        out.extend(format!("{:x}\r\n{event}\r\n", event.len()).bytes());
    };
    for text in texts {
        chunk(&format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#));
    }
    if has_end {
        chunk(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#);
        chunk("[DONE]");
        out.extend(b"0\r\n\r\n");
    }
    out
}

fn words(n: usize) -> impl Iterator<Item = String> {
    (0..n).map(|i| format!("{i} "))
}

fn crowded() -> (TurnCtx, Receiver<StreamEvent>) {
    TestTurn::asking("hi").streaming_among(Arc::new(Crowd::new(0)))
}

#[test]
fn in_a_crowd_an_answer_is_whole_and_every_token_an_event() {
    run(Box::pin(async {
        // More than is read ahead: the reader is waited for.
        for n in [1, 5, 20_000] {
            let server = TestServer::answering_bytes(vec![script(words(n), true)]).await;
            let (ctx, mut events) = crowded();
            let ctx = server.serving(ctx);
            let read = tokio::spawn(async move {
                let mut tokens = Vec::new();
                while let Some(event) = events.recv().await {
                    if let StreamEvent::Token(text) = event {
                        tokens.push(text);
                    }
                }
                tokens
            });

            let reply = built("chatOpenAI", []).call(hello(), &ctx, true).await.unwrap();
            drop(ctx);

            assert_eq!(reply.text, words(n).collect::<String>());
            assert_eq!(read.await.unwrap(), words(n).collect::<Vec<_>>());
        }
    }));
}

#[test]
fn in_a_crowd_an_answer_that_breaks_off_is_an_error() {
    run(Box::pin(async {
        let server = TestServer::answering_bytes(vec![script(words(9), false)]).await;
        let (ctx, _events) = crowded();

        let error = built("chatOpenAI", []).call(hello(), &server.serving(ctx), true).await;

        let words = error.unwrap_err().to_string();
        assert_eq!(words, "OpenAI broke off in the middle of its answer");
    }));
}

#[test]
fn in_a_crowd_connections_are_used_again() {
    let word = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    // The end comes later than the pause in which the last word is read.
    let comments = std::iter::repeat_n(&b":\n\n"[..], 55);
    let events = [&word[..], &word[..], b"data: [DONE]\n\n"].into_iter().chain(comments);
    let pieces = chunked(&events.collect::<Vec<_>>());
    run(Box::pin(async move {
        let server = TestServer::keeping_alive(pieces).await;
        let (ctx, mut events) = crowded();
        let ctx = server.serving(ctx);
        for _ in 0..6 {
            built("chatOpenAI", []).call(hello(), &ctx, true).await.unwrap();
            while events.try_recv().is_ok() {}
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(server.n_requests() < 4, "{} connections", server.n_requests());
    }));
}

#[test]
fn in_a_crowd_who_leaves_takes_the_connection_along() {
    run(Box::pin(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (ctx, mut events) = crowded();
        let model = built("chatOpenAI", [("basepath", source(&url))]);
        let call = tokio::spawn(async move { model.call(hello(), &ctx, true).await });
        let (mut connection, _) = listener.accept().await.unwrap();
        let begun = script(words(3), false);
        connection.write_all(&begun).await.unwrap();
        for _ in 0..4 {
            events.recv().await.unwrap();
        }

        call.abort();

        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(10), connection.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "the connection is still open");
    }));
}
