//! A tool agent answers as a real Flowise 2.2.8 did: the same calls upstream,
//! the same `usedTools`, the same events.

use serde_json::json;

use crate::replay::{SENTENCE, Stage};
use crate::support::golden;
use crate::support::scripted::{Answer, Received, words};

/// The recorded predictions of the tool agent.
const REPLAYED: [&str; 4] =
    ["d-predict", "d-predict-notool", "d-predict-notool-stream", "d-predict-stream"];

/// The recorded model called the calculator when it was asked to calculate,
/// and said its sentence otherwise.
fn recorded_model(request: &Received) -> Answer {
    match request.messages().last() {
        Some((role, content)) if role == "user" && content.contains("calculate") => {
            let arguments = json!({"input": "6*7"}).to_string();
            Answer::CallTool { id: "call_mock1", name: "calculator", arguments }
        }
        _ => Answer::Say(words(SENTENCE)),
    }
}

async fn stage() -> Stage {
    let stage = Stage::set().await;
    stage.model.answer(recorded_model);
    stage
}

#[tokio::test]
async fn a_tool_agent_answers_as_recorded() {
    let stage = stage().await;
    stage.replay("d-predict").await;
    stage.replay("d-predict-notool").await;
}

#[tokio::test]
async fn a_tool_agent_streams_as_recorded() {
    let stage = stage().await;
    stage.replay("d-predict-stream").await;
    stage.replay("d-predict-notool-stream").await;
}

#[test]
fn every_recorded_prediction_of_the_agent_is_replayed() {
    let recorded: Vec<_> =
        golden::names().into_iter().filter(|name| name.starts_with("d-")).collect();
    assert_eq!(recorded, REPLAYED);
}
