//! Recorded overrides and variables: what a request changed in Flowise it
//! changes here, down to the message that the model gets.

use serde_json::{Value, json};

use crate::replay::{Stage, assert_same_answer, assert_same_upstream};
use crate::support::golden;

const FLOW: &str = "h-override";

/// The variables that the exchanges were recorded with, and the settings that
/// let a request change them.
async fn with_variables() -> Stage {
    let stage = Stage::set().await;
    let operator = stage.server.operator();
    for (name, kind, value) in [("persona", "static", "a librarian"), ("tenant", "runtime", "")] {
        let variable = json!({"name": name, "type": kind, "value": value});
        operator.post("/api/v1/variables", &variable).await.expect(200);
    }
    let recorded = golden::load("chatflow-put-apiconfig");
    let settings: Value = serde_json::from_str(&recorded.body).unwrap();
    let path = format!("/api/v1/chatflows/{}", stage.flow(FLOW));
    operator.put(&path, &settings).await.expect(200);
    stage
}

/// The recorded system messages hold `{$flow.chatflowId}`, which stayed
/// unresolved; here it is the chatflow's id.
async fn replay_with_flow_id(stage: &Stage, name: &str) {
    let exchange = golden::load(name);
    stage.model.take_received();
    assert_same_answer(&exchange, &stage.send(&exchange).await);
    let mut received = stage.model.take_received();
    for request in &mut received {
        let text = request.body.to_string();
        let as_recorded = text.replace(stage.flow(FLOW), "{$flow.chatflowId}");
        request.body = serde_json::from_str(&as_recorded).unwrap();
    }
    assert_same_upstream(name, &received);
}

#[tokio::test]
async fn what_api_config_enables_is_overridden_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("h-override").await;
    stage.replay("h-override-by-node-id").await;
}

#[tokio::test]
async fn what_api_config_switches_off_stays_as_recorded() {
    let stage = Stage::set().await;
    stage.replay("i-override-disabled").await;
}

#[tokio::test]
async fn an_override_that_is_no_number_is_refused_instead_of_sent_as_null() {
    let stage = Stage::set().await;
    let message = stage.send(&golden::load("h-override-badtype")).await.expect_error(400);
    assert!(message.contains("temperature"), "{message}");
    assert!(stage.model.take_received().is_empty());
}

#[tokio::test]
async fn unknown_variables_stay_as_the_author_wrote_them_in_every_turn() {
    let stage = Stage::set().await;
    replay_with_flow_id(&stage, "h-session-1").await;
    replay_with_flow_id(&stage, "h-session-2").await;
}

#[tokio::test]
async fn a_variable_has_its_own_value_or_the_requests() {
    let stage = with_variables().await;
    replay_with_flow_id(&stage, "h-vars-override").await;
    let exchange = golden::load("h-vars-static");
    stage.model.take_received();
    assert_same_answer(&exchange, &stage.send(&exchange).await);
    let system = stage.model.take_received()[0].messages()[0].1.clone();
    assert!(system.starts_with("You are a librarian. Tenant=. Session="), "{system}");
}
