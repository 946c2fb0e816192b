//! What a request may change in a flow, seen from the model server.

use serde_json::{Value, json};

use crate::support::flows::Flow;
use crate::support::scripted::{Received, Scripted};
use crate::support::server::{Options, Parlor};

struct Stage {
    server: Parlor,
    model: Scripted,
    flow: Value,
}

impl Stage {
    async fn set() -> Self {
        Self::under("documented").await
    }

    /// A server whose operator set this rule.
    async fn under(rule: &str) -> Self {
        let model = Scripted::saying("Fine.").await;
        let server = Parlor::start_with(Options::default().env("PARLOR_OVERRIDES", rule));
        let credential = server.openai_credential().await;
        let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
        Self { server, model, flow: flow.row("Talk") }
    }

    /// Stores the flow, with these settings of `apiConfig` if there are any.
    async fn install(&self, overrides: Option<Value>) -> String {
        let mut row = self.flow.clone();
        if let Some(overrides) = overrides {
            row["apiConfig"] = json!({"overrideConfig": overrides}).to_string().into();
        }
        self.server.install_row(&row).await
    }

    /// What the model server gets when a question comes with these overrides.
    async fn asked(&self, flow: &str, overrides: Value) -> Received {
        let body = json!({"question": "hi {{$vars.x}} {y}", "overrideConfig": overrides});
        self.server.ask(flow, &body).await.expect(200);
        let mut received = self.model.take_received();
        assert_eq!(received.len(), 1, "{received:#?}");
        received.remove(0)
    }
}

#[tokio::test]
async fn an_override_holds_for_its_request_and_the_next_one_has_the_saved_value() {
    let stage = Stage::set().await;
    let flow = stage.install(None).await;
    let saved = stage.asked(&flow, json!({})).await;
    let changed = json!({"temperature": 0, "modelName": "m2", "systemMessagePrompt": "Be brief."});
    let asked = stage.asked(&flow, changed).await;
    assert_eq!(asked.body["temperature"], 0.0);
    assert_eq!(asked.body["model"], "m2");
    assert_eq!(asked.messages()[0].1, "Be brief.");
    assert_eq!(stage.asked(&flow, json!({})).await.body, saved.body);
}

#[tokio::test]
async fn an_override_can_name_its_node() {
    let stage = Stage::set().await;
    let flow = stage.install(None).await;
    let asked = stage.asked(&flow, json!({"temperature": {"chatOpenAI_0": "0.25"}})).await;
    assert_eq!(asked.body["temperature"], 0.25);
    let saved = stage.asked(&flow, json!({})).await.body;
    let elsewhere = json!({"temperature": {"chatOpenAI_7": 0.25}});
    assert_eq!(stage.asked(&flow, elsewhere).await.body, saved, "no node of this flow is meant");
}

#[tokio::test]
async fn a15_addresses_and_keys_stay_closed_even_where_they_are_enabled() {
    let stage = Stage::set().await;
    let names = ["basepath", "openAIApiKey", "baseOptions", "temperature"];
    let enabled = names.map(|name| json!({"name": name, "enabled": true}));
    let config = json!({"status": true, "nodes": {"ChatOpenAI": enabled}, "variables": []});
    for flow in [stage.install(None).await, stage.install(Some(config)).await] {
        let thief = json!({
            "basepath": "http://127.0.0.1:9/v1", "openAIApiKey": "sk-theirs",
            "baseOptions": {"x-stolen": "1"}, "temperature": 0.5,
        });
        let asked = stage.asked(&flow, thief).await;
        assert_eq!(asked.body["temperature"], 0.5);
        assert_eq!(asked.header("authorization"), Some("Bearer sk-mock"));
        assert_eq!(asked.header("x-stolen"), None);
    }
}

#[tokio::test]
async fn where_the_chatflow_speaks_of_overrides_only_what_it_enables_is_open() {
    let stage = Stage::set().await;
    let one = json!({"ChatOpenAI": [{"name": "temperature", "enabled": true}]});
    let off = stage.install(Some(json!({"status": false, "nodes": one}))).await;
    let on = stage.install(Some(json!({"status": true, "nodes": one}))).await;
    let saved = stage.asked(&off, json!({})).await;
    let wanted = json!({"temperature": 0.5, "modelName": "m2"});
    assert_eq!(stage.asked(&off, wanted.clone()).await.body, saved.body);
    let asked = stage.asked(&on, wanted).await;
    assert_eq!(asked.body["temperature"], 0.5);
    assert_eq!(asked.body["model"], saved.body["model"]);
}

#[tokio::test]
async fn the_operator_closes_or_opens_what_the_chatflow_says() {
    let wanted = json!({"temperature": 0.5, "baseOptions": {"x-extra": "1"}});
    for (rule, silent, listed, with_headers) in [
        ("documented", true, true, false),
        ("listed", false, true, false),
        ("listed-with-secrets", false, true, true),
        ("closed", false, false, false),
    ] {
        let stage = Stage::under(rule).await;
        let names = ["temperature", "baseOptions"];
        let enabled = names.map(|name| json!({"name": name, "enabled": true}));
        let config = json!({"status": true, "nodes": {"ChatOpenAI": enabled}});
        let flows = [stage.install(None).await, stage.install(Some(config)).await];
        let mut asked = Vec::new();
        for flow in &flows {
            asked.push(stage.asked(flow, wanted.clone()).await);
        }
        let changed = |received: &Received| received.body["temperature"] == 0.5;
        assert_eq!((changed(&asked[0]), changed(&asked[1])), (silent, listed), "{rule}");
        assert_eq!(asked[1].header("x-extra").is_some(), with_headers, "{rule}");
    }
}

#[tokio::test]
async fn an_override_of_the_wrong_type_is_refused_by_its_name() {
    let stage = Stage::set().await;
    let flow = stage.install(None).await;
    for (key, value) in [
        ("temperature", json!("abc")),
        ("temperature", json!([1])),
        ("maxTokens", json!(1.5)),
        ("systemMessagePrompt", json!([1])),
        ("vars", json!("x")),
    ] {
        let body = json!({"question": "hi", "overrideConfig": {key: value}});
        let message = stage.server.ask(&flow, &body).await.expect_error(400);
        assert!(message.contains(key), "{key}: {message}");
    }
    assert!(stage.model.take_received().is_empty());
}

#[tokio::test]
async fn a16_variables_are_filled_into_the_authors_text_and_never_into_the_users() {
    let mut stage = Stage::set().await;
    let mut flow = Flow(serde_json::from_str(stage.flow["flowData"].as_str().unwrap()).unwrap());
    flow = flow.with_input(
        "conversationChain_0",
        "systemMessagePrompt",
        json!("For {{$vars.x}} in {{$flow.sessionId}}; {{$vars.unknown}}"),
    );
    stage.flow = flow.row("Talk");
    let id = stage.install(None).await;
    let overrides = json!({"vars": {"x": "{input} {{$vars.x}}"}, "sessionId": "s1"});
    let asked = stage.asked(&id, overrides).await;
    let messages = asked.messages();
    // An unknown reference stays, and `{{` is a brace of the template.
    assert_eq!(messages[0].1, "For {input} {{$vars.x}} in s1; {$vars.unknown}");
    assert_eq!(messages[1].1, "hi {{$vars.x}} {y}");
}

#[tokio::test]
async fn a15_what_a_request_calls_a_variable_leads_no_key_to_another_address() {
    let mut stage = Stage::set().await;
    let thief = Scripted::saying("Thanks.").await;
    let variable = json!({"name": "base", "value": stage.model.basepath(), "type": "static"});
    stage.server.operator().post("/api/v1/variables", &variable).await.expect(200);
    let saved = Flow(serde_json::from_str(stage.flow["flowData"].as_str().unwrap()).unwrap());
    let stolen = json!({"vars": {"base": thief.basepath()}, "base": thief.basepath()});
    for (address, is_ours) in [("{{$vars.base}}", true), ("{{$flow.base}}", false)] {
        let flow = saved.clone().with_input("chatOpenAI_0", "basepath", json!(address));
        stage.flow = flow.row("Talk");
        let id = stage.install(None).await;
        let body = json!({"question": "hi", "overrideConfig": stolen});
        let reply = stage.server.ask(&id, &body).await;
        assert_eq!(reply.status == 200, is_ours, "{address}: {reply:?}");
        assert_eq!(stage.model.take_received().len(), usize::from(is_ours), "{address}");
        assert!(thief.take_received().is_empty(), "{address}");
    }
}

#[tokio::test]
async fn a15_the_operator_can_let_listed_variables_reach_an_address() {
    let mut stage = Stage::under("listed-with-secrets").await;
    let saved = Flow(serde_json::from_str(stage.flow["flowData"].as_str().unwrap()).unwrap());
    let flow = saved.with_input("chatOpenAI_0", "basepath", json!("{{$vars.base}}"));
    stage.flow = flow.row("Talk");
    let listed = json!({"status": true, "variables": [{"name": "base", "enabled": true}]});
    let id = stage.install(Some(listed)).await;
    stage.asked(&id, json!({"vars": {"base": stage.model.basepath()}})).await;
}
