//! What no trace tells: a canary is sent through every way in.

use serde_json::json;

use crate::collector::Traced;
use crate::support::{Answer, Flow, Scripted};

const CANARY: &str = "kanarienvogel";

#[tokio::test]
async fn no_trace_holds_a_question_an_answer_a_key_a_path_or_a_session() {
    let model = Scripted::start(|_| Answer::Echo).await;
    let traced = Traced::start();
    let server = &traced.server;
    let secret = json!({"openAIApiKey": format!("sk-{CANARY}")});
    let credential = server.credential("openAIApi", secret).await;
    let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
    let flow = server.install("Conversation Chain", &flow).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let caller = server.anyone().bearer(CANARY).with("user-agent", CANARY);
    let caller = caller.with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let caller = caller.with("tracestate", &format!("a={CANARY}")).with("x-request-id", CANARY);
    let complaint = json!({"error": {"message": CANARY}}).to_string();
    let complaint = Answer::Whole { status: 400, headers: Vec::new(), body: complaint };
    let named = json!({
        "choices": [{"message": {"content": CANARY}, "finish_reason": "stop"}],
        "model": format!("{CANARY} sings"),
    });
    let named = Answer::Whole { status: 200, headers: Vec::new(), body: named.to_string() };
    for (script, status) in [(Answer::Echo, 200), (complaint, 502), (named, 200)] {
        model.answer(move |_| script.clone());
        let body = json!({
            "question": CANARY, "sessionId": CANARY, "chatId": CANARY,
            "overrideConfig": {"modelName": format!("my {CANARY}")},
            "history": [{"role": "userMessage", "content": CANARY}],
        });
        caller.post(&format!("/api/v1/prediction/{flow}"), &body).await.expect(status);
    }
    assert_eq!(model.received().len(), 3);
    assert!(model.received()[0].text.contains(CANARY), "the canary did not get in");
    caller.get(&format!("/api/v1/verify/apikey/{CANARY}")).await;
    caller.get(&format!("/{CANARY}?{CANARY}={CANARY}")).await.expect(404);
    caller.send(reqwest::Method::from_bytes(CANARY.as_bytes()).unwrap(), "/", None).await;
    let (spans, bytes) = traced.collect().await;
    // All that was asked is there, under names that tell nothing.
    assert_eq!(spans.named("invoke_workflow").len(), 3, "{spans:#?}");
    assert_eq!(spans.named("chat _OTHER").len(), 3, "{spans:#?}");
    assert!(spans.named("_OTHER").len() + spans.named("_OTHER /").len() == 1, "{spans:#?}");
    assert!(bytes.contains("invoke_workflow"), "the bytes are not what was sent");
    assert!(!bytes.contains(CANARY), "{spans:#?}");
    let conversations: Vec<_> = spans
        .named("invoke_workflow")
        .iter()
        .map(|s| s.attribute("gen_ai.conversation.id"))
        .collect();
    assert_eq!(conversations[0], conversations[2], "one conversation has one id");
}
