//! flowise-embed, the chat widget that pages embed, shown by a real browser on
//! a page of another origin. Screenshots are left in the build folder.

use std::path::Path;

use base64::Engine;
use serde_json::{Value, json};

use crate::support::{Aimock, Flow, Options, Parlor, Scripted, clients, tools};

const ANSWER: &str = "Nice to meet you.";
/// A PNG of one pixel, in base64.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

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
        // What the widget shows of an error it also throws.
        let thrown = visit.texts("errors");
        let shown = visit.texts("bot").join("\n");
        let hidden: Vec<_> = thrown.iter().filter(|error| !shown.contains(*error)).collect();
        assert!(hidden.is_empty(), "the widget threw {hidden:?}");
        visit
    }

    /// The texts in the bubbles of `bot` or `guest`, or the `errors`, oldest first.
    fn texts(&self, of: &str) -> Vec<String> {
        let texts = self.0[of].as_array().expect("texts").iter();
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
    assert_eq!(visit.texts("guest"), ["I am Ann", "Who am I?"]);
    assert_eq!(visit.texts("bot")[1..], [ANSWER, ANSWER]);
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
    assert_eq!(visit.texts("bot")[1..], [ANSWER]);
    let whole = (200, "application/json; charset=utf-8".to_owned());
    assert_eq!(visit.calls("POST", &format!("/api/v1/prediction/{flow}")), [whole]);
}

/// The recorded conversation chain with these settings of the widget.
async fn install_with_widget(server: &Parlor, basepath: &str, config: Value) -> String {
    let settings = json!({"chatbotConfig": config.to_string()});
    install(server, basepath, Flow::golden("b-conversation"), settings).await
}

#[tokio::test]
async fn the_widget_shows_starter_prompts_and_sends_feedback() {
    let model = Scripted::saying(ANSWER).await;
    let server = Parlor::start();
    let prompts = json!({"0": {"prompt": "Who are you?"}, "1": {"prompt": "What can you do?"}});
    let config = json!({"starterPrompts": prompts, "chatFeedback": {"status": true}});
    let flow = install_with_widget(&server, &model.basepath(), config).await;
    let steps = json!([
        {"do": "open"}, {"do": "starterPrompts"},
        {"do": "clickStarterPrompt", "text": "Who are you?"},
        {"do": "thumbsUp", "text": "That was kind"},
    ]);
    let visit = Visit::pay(&server, &flow, "feedback", steps).await;
    assert_eq!(visit.0["saw"]["starterPrompts"], json!(["Who are you?", "What can you do?"]));
    assert_eq!(visit.texts("guest"), ["Who are you?"]);
    let path = format!("/api/v1/feedback/{flow}");
    let rows = server.operator().get(&path).await.expect(200).json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(rows[0]["rating"], "THUMBS_UP");
    assert_eq!(rows[0]["content"], "That was kind");
}

#[tokio::test]
async fn the_widget_sends_an_image_and_shows_it_again_after_a_reload() {
    let model = Scripted::saying(ANSWER).await;
    let server = Parlor::start();
    let flow = Flow::golden("b-conversation");
    let flow = flow.with_input("chatOpenAI_0", "allowImageUploads", json!(true));
    let flow = install(&server, &model.basepath(), flow, json!({})).await;
    let file = json!({"name": "dot.png", "mimeType": "image/png", "base64": PIXEL});
    let steps = json!([
        {"do": "open"}, {"do": "image", "file": file, "text": "What is this?"}, {"do": "reload"},
    ]);
    let visit = Visit::pay(&server, &flow, "image", steps).await;
    let asked = model.received().pop().unwrap().body.to_string();
    assert!(asked.contains(&format!("data:image/png;base64,{PIXEL}")), "{asked}");
    assert_eq!(visit.0["saw"]["reload"], json!([1]), "the picture is one pixel wide");
}

#[tokio::test]
async fn the_widget_sends_a_document_whose_text_reaches_the_model() {
    let model = Scripted::saying(ANSWER).await;
    let server = Parlor::start();
    let config = json!({"fullFileUpload": {"status": true}});
    let flow = install_with_widget(&server, &model.basepath(), config).await;
    let text = base64::prelude::BASE64_STANDARD.encode("Ann has a dog.");
    let file = json!({"name": "ann.txt", "mimeType": "text/plain", "base64": text});
    let steps =
        json!([{"do": "open"}, {"do": "attachment", "file": file, "text": "What has she?"}]);
    Visit::pay(&server, &flow, "attachment", steps).await;
    let asked = model.received().pop().unwrap().messages().pop().unwrap().1;
    assert!(asked.contains("Ann has a dog.") && asked.ends_with("What has she?"), "{asked}");
}

#[tokio::test]
async fn the_widget_records_a_question_and_shows_what_was_heard() {
    let heard = json!({"match": {"endpoint": "transcription"},
        "response": {"transcription": {"text": "Why is the sky blue?"}}});
    let said = json!({"match": {}, "response": {"content": ANSWER}});
    let model = Aimock::start(&json!([heard, said]));
    let server = Parlor::start_with(Options::default().provider("openai", &model.basepath()));
    let credential = server.openai_credential().await;
    let speech = json!({"openAIWhisper": {"status": true, "credentialId": credential}});
    let settings = json!({"speechToText": speech.to_string()});
    let flow = Flow::golden("b-conversation");
    let flow = install(&server, &model.basepath(), flow, settings).await;
    let steps = json!([{"do": "open"}, {"do": "voice"}]);
    let visit = Visit::pay(&server, &flow, "voice", steps).await;
    assert_eq!(visit.texts("guest").last().unwrap(), "Why is the sky blue?");
    let asked = model.received().await.pop().unwrap().messages().pop().unwrap();
    assert_eq!(asked, ("user".to_owned(), "Why is the sky blue?".to_owned()));
}

#[tokio::test]
async fn the_widget_asks_who_is_there_and_stores_the_lead() {
    let model = Scripted::saying(ANSWER).await;
    let server = Parlor::start();
    let leads = json!({"status": true, "title": "Who are you?", "name": true, "email": true,
        "phone": true, "successMessage": "Thank you"});
    let flow = install_with_widget(&server, &model.basepath(), json!({"leads": leads})).await;
    let steps = json!([
        {"do": "open"},
        {"do": "lead", "name": "Ann", "email": "ann@example.org", "phone": "5550123456"},
        {"do": "ask", "text": "Hello"},
    ]);
    Visit::pay(&server, &flow, "lead", steps).await;
    let rows = server.operator().get(&format!("/api/v1/leads/{flow}")).await.expect(200).json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(rows[0]["name"], "Ann");
    let path = format!("/api/v1/chatmessage/{flow}");
    let rows = server.operator().get(&path).await.expect(200).json();
    assert_eq!(rows[0]["leadEmail"], "ann@example.org");
}

#[tokio::test]
async fn the_widget_on_a_page_that_is_not_allowed_shows_the_operators_words() {
    let model = Scripted::saying(ANSWER).await;
    let server = Parlor::start();
    let words = "Not from here, please";
    let config = json!({"allowedOrigins": ["https://example.org"], "allowedOriginsError": words});
    let settings = json!({"chatbotConfig": config.to_string()});
    let flow = Flow::golden("b-conversation");
    let flow = install(&server, &model.basepath(), flow, settings).await;
    let steps = json!([{"do": "open"}, {"do": "ask", "text": "Hello"}]);
    let visit = Visit::pay(&server, &flow, "refused", steps).await;
    let shown = visit.texts("bot").pop().unwrap();
    assert!(shown.contains(words), "{shown}");
    assert!(model.received().is_empty(), "a refused page reached the model");
}
