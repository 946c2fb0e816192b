//! Parlor answers as a real Flowise 2.2.8 did: same keys in the same order,
//! same events, same messages to the model.

use crate::golden_mends::MENDED;
use crate::replay::{Stage, assert_same_answer};
use crate::support::golden;

/// The recorded predictions that Parlor answers just as Flowise did.
const REPLAYED: &[&str] = &[
    "a-history",
    "a-predict",
    "a-predict-stream",
    "a-predict-streaming-string",
    "b-chatid-1",
    "b-chatid-2",
    "b-history",
    "b-predict",
    "b-predict-stream",
    "b-session-1",
    "b-session-2",
    "b-session-after-delete",
    "b-sessionid-and-chatid",
    "b-upload-audio-no-stt",
    "b-upload-image-not-allowed",
    "e-predict",
    "e-predict-stream",
    "e-upload-image-base64",
    "e-upload-image-base64-stream",
    "e-upload-image-second-turn",
    "err-empty-question",
    "f-predict",
    "f-upload-audio",
    "f-upload-audio-mp3-mime",
    "f-upload-audio-stream",
    "predict-urlencoded",
];

#[tokio::test]
async fn an_llm_chain_answers_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("a-predict").await;
    stage.replay("a-history").await;
}

#[tokio::test]
async fn an_llm_chain_streams_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("a-predict-stream").await;
    stage.replay("a-predict-streaming-string").await;
}

#[tokio::test]
async fn a_conversation_chain_answers_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("b-predict").await;
    stage.replay("b-history").await;
    stage.replay("err-empty-question").await;
}

#[tokio::test]
async fn a_conversation_chain_streams_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("b-predict-stream").await;
}

#[tokio::test]
async fn uploads_that_a_flow_cannot_use_change_nothing_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("b-upload-audio-no-stt").await;
    stage.replay("b-upload-image-not-allowed").await;
}

#[tokio::test]
async fn an_image_reaches_the_model_and_comes_back_in_the_next_turn_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("e-predict").await;
    stage.replay("e-predict-stream").await;
    stage.replay("e-upload-image-base64").await;
    stage.replay("e-upload-image-second-turn").await;
    stage.replay("e-upload-image-base64-stream").await;
}

#[tokio::test]
async fn a_form_is_answered_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("predict-urlencoded").await;
}

#[tokio::test]
async fn a_chat_id_keeps_the_conversation_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("b-chatid-1").await;
    stage.replay("b-chatid-2").await;
    stage.replay("b-sessionid-and-chatid").await;
}

#[tokio::test]
async fn a_session_id_keeps_the_conversation_until_it_is_deleted_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("b-session-1").await;
    stage.replay("b-session-2").await;
    let path = format!("/api/v1/chatmessage/{}?sessionId=sess-1", stage.flow("b-conversation"));
    stage.server.operator().delete(&path).await.expect(200);
    stage.replay("b-session-after-delete").await;
}

#[tokio::test]
async fn whether_a_flow_streams_is_told_as_recorded() {
    let stage = Stage::set().await;
    let names = [
        "chatflows-streaming-b-conversation",
        "chatflows-streaming-k-llmchain-nostream",
        "version",
    ];
    for name in names {
        let exchange = golden::load(name);
        assert_same_answer(&exchange, &stage.send(&exchange).await);
    }
}

#[tokio::test]
async fn a_flow_that_cannot_stream_answers_json_to_a_client_that_asked_for_a_stream() {
    let stage = Stage::set().await;
    let body = serde_json::json!({"question": "hi", "streaming": true});
    let reply = stage.server.ask(stage.flow("k-llmchain-nostream"), &body).await.expect(200);
    assert_eq!(reply.media_type(), "application/json");
    assert_eq!(reply.json()["isStreamValid"], false);
}

#[tokio::test]
async fn an_answer_that_code_works_on_afterwards_is_not_streamed() {
    let stage = Stage::set().await;
    let flow = stage.flow("a-llmchain");
    let path = format!("/api/v1/chatflows-streaming/{flow}");
    for (is_enabled, streams) in [(true, false), (false, true)] {
        let config = serde_json::json!({"postProcessing": {"enabled": is_enabled}});
        let change = serde_json::json!({"chatbotConfig": config.to_string()});
        let row = format!("/api/v1/chatflows/{flow}");
        stage.server.operator().put(&row, &change).await.expect(200);
        let told = stage.server.anyone().get(&path).await.expect(200).json();
        assert_eq!(told["isStreaming"], streams);
        let body = serde_json::json!({"question": "hi", "streaming": true});
        let kind = stage.server.ask(flow, &body).await.expect(200).media_type().to_owned();
        assert_eq!(kind == "text/event-stream", streams, "{kind}");
    }
}

#[test]
fn every_recorded_prediction_is_replayed_or_mended() {
    let known =
        |name: &String| REPLAYED.contains(&name.as_str()) || MENDED.contains(&name.as_str());
    // Those of upserts have their own file.
    let others = |name: &String| !name.contains("upsert");
    let predictions = golden::names().into_iter().filter(others).filter(|name| {
        ["a-", "b-", "e-", "err-", "f-", "key-"].iter().any(|prefix| name.starts_with(prefix))
    });
    let forgotten: Vec<_> = predictions.filter(|name| !known(name)).collect();
    assert_eq!(forgotten, Vec::<String>::new());
}
