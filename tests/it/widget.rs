//! flowise-embed, the chat widget that pages embed, shown by a real browser on
//! a page of another origin. Screenshots are left in the build folder.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Flow, Parlor, Scripted, clients, tools};

const ANSWER: &str = "Nice to meet you.";

/// What a person saw, and what the widget asked of the server for it.
struct Visit(Value);

impl Visit {
    /// Visits a page with the widget of a chatflow and does these steps.
    async fn pay(server: &Parlor, flow: &str, name: &str, steps: Value) -> Self {
        let screenshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("widget-{name}.png"));
        let job = json!({
            "chromium": tools::chromium(), "screenshot": screenshot, "steps": steps,
            "apiHost": format!("http://{}", server.address()), "chatflowid": flow,
        });
        let command = tools::node("clients/embed.mjs", "flowise-embed");
        let run = move || clients::run(command, &job.to_string());
        // The browser must not stop the model server of the same test.
        let printed = tokio::task::spawn_blocking(run).await.expect("the visit ended");
        let visit = Self(serde_json::from_str(&printed).expect("one JSON document"));
        assert_eq!(visit.0["errors"], json!([]), "the widget threw");
        visit
    }

    /// The texts in the bubbles of `bot` or `guest`, oldest first.
    fn bubbles(&self, of: &str) -> Vec<String> {
        let texts = self.0[of].as_array().expect("bubbles").iter();
        texts.map(|text| text.as_str().expect("a text").trim().to_owned()).collect()
    }

    /// Statuses and media types of the calls to paths that begin so.
    fn calls(&self, method: &str, path: &str) -> Vec<(u64, String)> {
        let calls = self.0["calls"].as_array().expect("calls").iter();
        let is_it = |call: &&Value| {
            call["method"] == method && call["path"].as_str().unwrap().starts_with(path)
        };
        let answer = |call: &Value| {
            (call["status"].as_u64().unwrap(), call["type"].as_str().unwrap().to_owned())
        };
        calls.filter(is_it).map(answer).collect()
    }
}

/// The recorded conversation chain, changed, with these settings of its row.
async fn install(server: &Parlor, basepath: &str, flow: Flow, settings: Value) -> String {
    let credential = server.openai_credential().await;
    let mut row = flow.with_openai(&credential, basepath).row("Conversation");
    row.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    server.install_row(&row).await
}

#[tokio::test]
async fn the_widget_opens_and_streams_a_conversation() {
    let model = Scripted::saying(ANSWER).await;
    let server = Parlor::start();
    let flow = Flow::golden("b-conversation");
    let flow = install(&server, &model.basepath(), flow, json!({})).await;
    let steps = json!([
        {"do": "open"}, {"do": "ask", "text": "I am Ann"}, {"do": "ask", "text": "Who am I?"},
    ]);
    let visit = Visit::pay(&server, &flow, "conversation", steps).await;
    assert_eq!(visit.bubbles("guest"), ["I am Ann", "Who am I?"]);
    assert_eq!(visit.bubbles("bot")[1..], [ANSWER, ANSWER]);
    let stream = (200, "text/event-stream".to_owned());
    let path = format!("/api/v1/prediction/{flow}");
    assert_eq!(visit.calls("POST", &path), [stream.clone(), stream]);
    // The second question came with the first one's chat id, so it was remembered.
    let last = model.received().pop().unwrap().messages();
    let heard: Vec<_> = last.iter().skip(1).map(|(_, content)| content.as_str()).collect();
    assert_eq!(heard, ["I am Ann", ANSWER, "Who am I?"]);
}

#[tokio::test]
async fn the_widget_shows_a_whole_answer_of_a_chatflow_that_does_not_stream() {
    let model = Scripted::saying(ANSWER).await;
    let server = Parlor::start();
    let flow = Flow::golden("k-llmchain-nostream");
    let flow = install(&server, &model.basepath(), flow, json!({})).await;
    let steps = json!([{"do": "open"}, {"do": "ask", "text": "socks"}]);
    let visit = Visit::pay(&server, &flow, "whole", steps).await;
    assert_eq!(visit.bubbles("bot")[1..], [ANSWER]);
    let whole = (200, "application/json".to_owned());
    assert_eq!(visit.calls("POST", &format!("/api/v1/prediction/{flow}")), [whole]);
}
