//! A conversation is remembered, survives a kill, and never mixes with another.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use crate::support::flows::assert_whole_turns;
use crate::support::scripted::words;
use crate::support::{Answer, Parlor, Reply, Scripted, sse};

const N_SESSIONS: usize = 64;
const N_ROUNDS: usize = 4;

fn turn(session: &str, question: &str) -> serde_json::Value {
    json!({"question": question, "overrideConfig": {"sessionId": session}})
}

/// The conversation that the model saw in its only call, without the system's text.
fn seen(model: &Scripted) -> Vec<String> {
    let received = model.take_received();
    assert_eq!(received.len(), 1, "{received:#?}");
    let messages = received[0].messages().into_iter();
    messages.filter(|(role, _)| role != "system").map(|(_, content)| content).collect()
}

#[tokio::test]
async fn a_session_is_remembered_across_turns_and_across_kill_9() {
    let model = Scripted::saying("Nice to meet you.").await;
    let mut server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;

    server.ask(&flow, &turn("ann", "My name is Ann")).await.expect(200);
    assert_eq!(seen(&model), ["My name is Ann"]);
    model.answer(|_| Answer::Say(words("You are Ann.")));
    server.ask(&flow, &turn("ann", "Who am I?")).await.expect(200);
    assert_eq!(seen(&model), ["My name is Ann", "Nice to meet you.", "Who am I?"]);

    // The kill follows the reply at once: what was answered was on the disk.
    server.kill9();
    let server = server.restart();
    server.ask(&flow, &turn("ann", "And now?")).await.expect(200);
    let expected = ["My name is Ann", "Nice to meet you.", "Who am I?", "You are Ann.", "And now?"];
    assert_eq!(seen(&model), expected);
    let stored = server.messages(&flow, "sessionId=ann").await;
    assert_eq!(stored.len(), 6);
    assert_whole_turns(&stored);
}

#[tokio::test]
async fn a_streamed_turn_whose_end_was_read_survives_kill_9() {
    let model = Scripted::saying("Nice to meet you.").await;
    let mut server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let mut body = turn("ann", "My name is Ann");
    body["streaming"] = json!(true);
    let events = server.ask(&flow, &body).await.expect(200).events();
    assert_eq!(events.last().unwrap().name, "end");
    server.kill9();
    let server = server.restart();
    let stored = server.messages(&flow, "sessionId=ann").await;
    let expected = [("userMessage", "My name is Ann"), ("apiMessage", "Nice to meet you.")];
    let expected = expected.map(|(role, text)| (role.to_owned(), text.to_owned()));
    assert_eq!(stored, expected);
    let message_id = sse::only(&events, "metadata")["chatMessageId"].clone();
    let path = format!("/api/v1/chatmessage/{flow}?sessionId=ann");
    let rows = server.operator().get(&path).await.expect(200).json();
    assert_eq!(rows[1]["id"], message_id);
}

#[tokio::test]
async fn a7_the_same_session_id_on_two_chatflows_is_two_conversations() {
    let model = Scripted::saying("I see.").await;
    let server = Parlor::start();
    let one = server.install_conversation(&model.basepath()).await;
    let other = server.install_conversation(&model.basepath()).await;
    server.ask(&one, &turn("ann", "A secret of one")).await.expect(200);
    model.take_received();
    server.ask(&other, &turn("ann", "What do you know?")).await.expect(200);
    assert_eq!(seen(&model), ["What do you know?"]);
}

#[tokio::test]
async fn a9_odd_session_ids_are_kept_exactly_and_never_match_a_neighbour() {
    let model = Scripted::saying("I see.").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let ids = ["s1", "s10", "s1_x", "s:1", "s/1", "s%31", "a@b.c", "🦊", "s1 "];
    for id in ids {
        let reply = server.ask(&flow, &turn(id, &format!("I am <{id}>"))).await.expect(200);
        assert_eq!(reply.json()["sessionId"], id);
    }
    for id in ids {
        let query = serde_urlencoded::to_string([("sessionId", id)]).unwrap();
        let stored = server.messages(&flow, &query).await;
        let questions: Vec<_> = stored.iter().map(|(_, content)| content.as_str()).collect();
        assert_eq!(questions, [format!("I am <{id}>").as_str(), "I see."], "{id:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_many_sessions_at_once_never_see_each_others_text() {
    let model = Scripted::start(|request| {
        let asked = request.messages().pop().map(|(_, content)| content).unwrap_or_default();
        if asked.starts_with("HOLD") { Answer::Stall(words("wait ")) } else { Answer::Echo }
    })
    .await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    for round in 0..N_ROUNDS {
        let talks = (0..N_SESSIONS).map(|session| one_round(&server, &flow, session, round));
        join_all(talks).await;
    }
    for session in 0..N_SESSIONS {
        let query = format!("sessionId={}", canary(session));
        let stored = server.messages(&flow, &query).await;
        assert_eq!(stored.len(), 2 * N_ROUNDS, "session {session}: {stored:?}");
        assert_whole_turns(&stored);
    }
}

/// A word that no other session says, and that is no part of another's.
fn canary(session: usize) -> String {
    format!("canary-{session:04}")
}

async fn one_round(server: &Parlor, flow: &str, session: usize, round: usize) {
    let own = canary(session);
    if session.is_multiple_of(8) {
        leave_a_question(server, flow, &own).await;
    }
    let mut body = turn(&own, &format!("{own} round {round}"));
    let reply = if (session + round).is_multiple_of(2) {
        body["streaming"] = json!(true);
        let reply = server.ask(flow, &body).await.expect(200);
        sse::text(&reply.events())
    } else {
        let reply: Reply = server.ask(flow, &body).await.expect(200);
        reply.json()["text"].as_str().unwrap().to_owned()
    };
    let heard: BTreeSet<_> =
        reply.match_indices("canary-").map(|(at, _)| &reply[at..at + 11]).collect();
    assert_eq!(heard, BTreeSet::from([own.as_str()]), "session {session} heard: {reply}");
    let mut rest = reply.as_str();
    for earlier in 0..=round {
        let (_, after) = rest.split_once(&format!("{own} round {earlier}")).unwrap_or_else(|| {
            panic!("session {session} lost round {earlier} in round {round}: {reply}")
        });
        rest = after;
    }
    assert!(!reply.contains("HOLD"), "a question that was given up was stored: {reply}");
}

/// Asks for a stream, hears the first token, and leaves.
async fn leave_a_question(server: &Parlor, flow: &str, own: &str) {
    let mut body = turn(own, &format!("HOLD {own}"));
    body["streaming"] = json!(true);
    let path = format!("/api/v1/prediction/{flow}");
    let mut response = server.anyone().open_post(&path, &body).await;
    response.chunk().await.expect("a first piece");
}
