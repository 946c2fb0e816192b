//! P3 and P18: within a session turn n+1 sees exactly turns 1 to n, however
//! many clients talk to it at once and whatever the clock does.

use std::collections::HashMap;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::server::Options;
use crate::support::{Parlor, Scripted, faketime};

const N_CLIENTS: usize = 64;
const N_SESSIONS: usize = 8;
const N_ROUNDS: usize = 6;

fn turn(session: &str, question: &str) -> Value {
    json!({"question": question, "overrideConfig": {"sessionId": session}})
}

/// What a model heard of a conversation, without the system's text.
fn conversation(received: &crate::support::scripted::Received) -> Vec<String> {
    let messages = received.messages().into_iter();
    messages.filter(|(role, _)| role != "system").map(|(_, content)| content).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_every_turn_of_a_session_sees_exactly_those_before_it() {
    let model = Scripted::saying("Noted.").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;

    // All are made before the first one asks: making them takes so much of a busy
    // machine that others would keep the server waiting for a request too long.
    let callers: Vec<_> = (0..N_CLIENTS).map(|_| server.anyone()).collect();
    let path = format!("/api/v1/prediction/{flow}");
    join_all(callers.iter().enumerate().map(|(client, caller)| {
        let path = &path;
        async move {
            for round in 0..N_ROUNDS {
                let session = format!("s{}", client % N_SESSIONS);
                let question = format!("{session} client {client} round {round}");
                caller.post(path, &turn(&session, &question)).await.expect(200);
            }
        }
    }))
    .await;

    // What the model heard with each question must be the stored
    // conversation up to that question, to the letter.
    let heard: HashMap<String, Vec<String>> = model
        .received()
        .iter()
        .map(conversation)
        .map(|mut messages| (messages.pop().unwrap(), messages))
        .collect();
    assert_eq!(heard.len(), N_CLIENTS * N_ROUNDS, "each question was asked once");
    for session in 0..N_SESSIONS {
        let stored = server.messages(&flow, &format!("sessionId=s{session}")).await;
        assert_eq!(stored.len(), 2 * N_ROUNDS * N_CLIENTS / N_SESSIONS);
        let said: Vec<String> = stored.into_iter().map(|(_, content)| content).collect();
        for at in (0..said.len()).step_by(2) {
            assert_eq!(heard[&said[at]], said[..at], "before {}", said[at]);
            assert_eq!(said[at + 1], "Noted.", "the answer stands behind its question");
        }
    }
}

#[tokio::test]
async fn p18_a_clock_that_jumps_never_reorders_turns() {
    let model = Scripted::saying("Noted.").await;
    let clock = faketime::Clock::set("2026-06-15 12:00:00");
    let mut server = Parlor::start_with(clock.for_server(Options::default()));
    let flow = server.install_conversation(&model.basepath()).await;

    let days = ["2026-06-15", "2026-06-14", "2026-06-20", "2025-01-01", "2026-06-16"];
    for (at, day) in days.iter().enumerate() {
        if at == 3 {
            server.kill9();
            server = server.restart();
        }
        clock.jump(&format!("{day} 12:00:00"));
        server.ask(&flow, &turn("s", &format!("question {at}"))).await.expect(200);
    }

    let asked: Vec<Vec<String>> = model.received().iter().map(conversation).collect();
    for (at, heard) in asked.iter().enumerate() {
        let mut expected: Vec<String> = (0..at)
            .flat_map(|before| [format!("question {before}"), "Noted.".to_owned()])
            .collect();
        expected.push(format!("question {at}"));
        assert_eq!(*heard, expected);
    }
    let path = format!("/api/v1/chatmessage/{flow}?sessionId=s");
    let rows = server.operator().get(&path).await.expect(200).json();
    let rows = rows.as_array().unwrap();
    let questions: Vec<_> = rows.iter().filter(|row| row["role"] == "userMessage").collect();
    for (at, (row, day)) in questions.iter().zip(days).enumerate() {
        assert_eq!(row["content"], format!("question {at}"), "in the order of their sequence");
        let date = row["createdDate"].as_str().unwrap();
        assert!(date.starts_with(day), "the clock of the server did jump: {date} for {day}");
    }
    assert_eq!(rows.len(), 2 * days.len());
}
