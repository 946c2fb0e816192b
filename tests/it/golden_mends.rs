//! Where Flowise 2.2.8 has a plain defect, Parlor answers otherwise on purpose.
//! The recorded request is played, and the mend is checked.

use serde_json::json;

use crate::replay::{SENTENCE, Stage};
use crate::support::golden;
use crate::support::scripted::{Answer, Received};

/// The recordings that a test of this file plays.
pub const MENDED: &[&str] = &[
    "b-history-badrole",
    "b-history-type-message-form",
    "b-toplevel-sessionid",
    "e-upload-bad-datauri",
    "err-array-body",
    "err-flow-bad-uuid",
    "err-flow-not-found",
    "err-flow-not-found-stream",
    "err-key-missing",
    "err-key-missing-stream",
    "err-key-wrong",
    "err-malformed-json",
    "err-missing-question",
    "err-missing-question-a",
    "err-missing-question-c",
    "err-missing-question-d",
    "err-null-question",
    "err-number-question",
    "err-upstream-401",
    "err-upstream-500",
    "key-right",
    "key-right-lowercase-bearer",
];

fn talk(received: &[Received]) -> Vec<(String, String)> {
    assert_eq!(received.len(), 1, "{received:#?}");
    received[0].messages().into_iter().filter(|(role, _)| role != "system").collect()
}

fn pairs<const N: usize>(messages: [(&str, &str); N]) -> Vec<(String, String)> {
    messages.map(|(role, content)| (role.to_owned(), content.to_owned())).to_vec()
}

#[tokio::test]
async fn history_in_the_roles_of_openai_reaches_the_model_instead_of_being_dropped() {
    let stage = Stage::set().await;
    stage.send(&golden::load("b-history-badrole")).await.expect(200);
    let expected = pairs([("user", "hello"), ("user", "x")]);
    assert_eq!(talk(&stage.model.take_received()), expected);
}

#[tokio::test]
async fn history_in_an_unknown_role_is_refused_by_its_name() {
    let stage = Stage::set().await;
    for role in ["system", "tool", ""] {
        let body = json!({"question": "x", "history": [{"role": role, "content": "obey"}]});
        let reply = stage.server.ask(stage.flow("b-conversation"), &body).await;
        let message = reply.expect_error(400);
        assert!(message.contains("role") && message.contains(role), "{message}");
    }
    assert!(stage.model.take_received().is_empty(), "a refused question reached the model");
}

#[tokio::test]
async fn history_in_the_older_form_keeps_its_content() {
    let stage = Stage::set().await;
    stage.send(&golden::load("b-history-type-message-form")).await.expect(200);
    let expected = pairs([
        ("user", "Hi my name is Brian"),
        ("assistant", "Hi Brian"),
        ("user", "What is my name?"),
    ]);
    assert_eq!(talk(&stage.model.take_received()), expected);
}

#[tokio::test]
async fn a_session_id_beside_the_question_is_used_as_session_and_chat_id() {
    let stage = Stage::set().await;
    let exchange = golden::load("b-toplevel-sessionid");
    let first = stage.send(&exchange).await.expect(200).json();
    assert_eq!((&first["sessionId"], &first["chatId"]), (&json!("sess-top"), &json!("sess-top")));
    stage.model.take_received();
    stage.send(&exchange).await.expect(200);
    let expected = pairs([("user", "top"), ("assistant", SENTENCE), ("user", "top")]);
    assert_eq!(talk(&stage.model.take_received()), expected);
}

#[tokio::test]
async fn a_question_that_is_not_there_is_a_bad_request_that_reaches_no_model() {
    let stage = Stage::set().await;
    for name in [
        "err-array-body",
        "err-missing-question",
        "err-missing-question-a",
        "err-missing-question-c",
        "err-missing-question-d",
        "err-null-question",
    ] {
        let message = stage.send(&golden::load(name)).await.expect_error(400);
        assert!(message.contains("question"), "{name}: {message}");
    }
    stage.send(&golden::load("err-malformed-json")).await.expect_error(400);
    assert!(stage.model.take_received().is_empty(), "a refused question reached the model");
}

#[tokio::test]
async fn a_number_as_question_is_its_text() {
    let stage = Stage::set().await;
    let reply = stage.send(&golden::load("err-number-question")).await.expect(200).json();
    assert_eq!(reply["question"], "42");
    assert_eq!(talk(&stage.model.take_received()), pairs([("user", "42")]));
}

#[tokio::test]
async fn a_flow_that_does_not_exist_is_not_found_whether_streamed_or_not() {
    let stage = Stage::set().await;
    for name in ["err-flow-not-found", "err-flow-not-found-stream"] {
        let message = stage.send(&golden::load(name)).await.expect_error(404);
        assert!(message.contains("00000000-0000-4000-8000-000000000000"), "{name}: {message}");
    }
    let reply = stage.send(&golden::load("err-flow-bad-uuid")).await;
    assert!([400, 404].contains(&reply.status), "{reply:?}");
    reply.error_message();
}

#[tokio::test]
async fn a_protected_flow_answers_401_whether_streamed_or_not() {
    let stage = Stage::set().await;
    for name in ["err-key-missing", "err-key-missing-stream"] {
        stage.send(&golden::load(name)).await.expect_error(401);
    }
    let wrong = stage.server.anyone().bearer("wrong");
    stage.send_as(wrong, &golden::load("err-key-wrong")).await.expect_error(401);
    let lower = format!("bearer {}", stage.key_of_flow_g);
    let lower = stage.server.anyone().with("authorization", &lower);
    stage.send_as(lower, &golden::load("key-right-lowercase-bearer")).await.expect_error(401);
    assert!(stage.model.take_received().is_empty(), "a refused caller reached the model");
}

#[tokio::test]
async fn a_protected_flow_opens_with_its_key_as_recorded() {
    let stage = Stage::set().await;
    let right = stage.server.anyone().bearer(&stage.key_of_flow_g);
    let exchange = golden::load("key-right");
    let reply = stage.send_as(right, &exchange).await;
    crate::replay::assert_same_answer(&exchange, &reply);
    crate::replay::assert_same_upstream("key-right", &stage.model.take_received());
}

#[tokio::test]
async fn a_failure_of_the_model_server_is_a_502_after_at_most_two_retries() {
    let stage = Stage::set().await;
    for (name, status) in [("err-upstream-401", 401), ("err-upstream-500", 500)] {
        stage.model.answer(move |_| Answer::Whole {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: json!({"error": {"message": "mock upstream failure"}}).to_string(),
        });
        stage.send(&golden::load(name)).await.expect_error(502);
        let n_calls = stage.model.take_received().len();
        assert!((1..=3).contains(&n_calls), "{name}: {n_calls} calls");
    }
}

#[tokio::test]
async fn an_upload_that_is_no_data_uri_is_a_bad_request_that_names_it() {
    let stage = Stage::set().await;
    let message = stage.send(&golden::load("e-upload-bad-datauri")).await.expect_error(400);
    assert!(message.contains("uploads[0].data") && message.contains("data URI"), "{message}");
    assert!(stage.model.take_received().is_empty(), "a refused upload reached the model");
}
