//! Conversations on Google Gemini and Amazon Bedrock, as JSON and as a stream,
//! against a model server that was not written here.

use serde_json::{Value, json};

use crate::support::{Aimock, Caller, Flow, Options, Parlor, sse};

const ANSWER: &str = "This answer is long enough to come in several pieces, née 猫.";

/// A conversation chain whose model is this node.
fn conversation(name: &str, inputs: Value, credential: &str) -> Flow {
    let mut flow = Flow::golden("b-conversation");
    let data = flow.data("chatOpenAI_0");
    data["name"] = json!(name);
    data["label"] = json!(name);
    data["inputs"] = inputs;
    data["credential"] = json!(credential);
    flow
}

fn gemini(credential: &str) -> Flow {
    let inputs = json!({
        "cache": "", "contextCache": "", "modelName": "gemini-1.5-flash-latest",
        "customModelName": "gemini-2.0-flash", "temperature": 0.9, "streaming": true,
        "maxOutputTokens": "64", "topP": "0.8", "topK": "", "baseUrl": "",
        "harmCategory": "[\"HARM_CATEGORY_HARASSMENT\"]",
        "harmBlockThreshold": "[\"BLOCK_ONLY_HIGH\"]", "allowImageUploads": "",
    });
    conversation("chatGoogleGenerativeAI", inputs, credential)
}

fn bedrock(credential: &str) -> Flow {
    let inputs = json!({
        "cache": "", "region": "eu-central-1",
        "model": "anthropic.claude-3-haiku-20240307-v1:0", "customModel": "",
        "streaming": true, "temperature": 0.7, "max_tokens_to_sample": 200,
        "allowImageUploads": "",
    });
    conversation("awsChatBedrock", inputs, credential)
}

/// A model server that answers and counts.
fn counting() -> Aimock {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 5});
    Aimock::start(&json!([{"match": {}, "response": {"content": ANSWER, "usage": usage}}]))
}

/// Asks for JSON and then for a stream in the same session, and gives back
/// what aimock noted of the two calls.
async fn talk(server: &Parlor, flow: &str, model: &Aimock) -> Vec<Value> {
    let session = json!({"sessionId": "s1"});
    let body = json!({"question": "My name is Ada.", "overrideConfig": session});
    let reply = server.ask(flow, &body).await.expect(200).json();
    assert_eq!(reply["text"], ANSWER);
    assert_eq!(reply["usage"]["inputTokens"], 11, "{reply}");
    assert_eq!(reply["usage"]["outputTokens"], 5, "{reply}");

    let body = json!({"question": "Who am I?", "streaming": true, "overrideConfig": session});
    let events = server.ask(flow, &body).await.expect(200).events();
    assert_eq!(sse::outline(&events), ["start", "token", "metadata", "end"]);
    assert_eq!(sse::text(&events), ANSWER);
    assert!(events.len() > 5, "the answer came in one piece: {events:?}");

    let calls = model.received().await;
    let roles: Vec<Vec<_>> = calls
        .iter()
        .map(|call| call.messages().into_iter().map(|(role, _)| role).collect())
        .collect();
    assert_eq!(roles, [vec!["system", "user"], vec!["system", "user", "assistant", "user"]]);
    let last = calls[1].messages();
    assert_eq!(last[1].1, "My name is Ada.");
    assert_eq!(last[2].1, ANSWER);
    assert_eq!(last[3].1, "Who am I?");
    let journal = Caller::new(model.base()).get("/__aimock/journal").await.expect(200).json();
    journal.as_array().unwrap().clone()
}

fn paths(calls: &[Value]) -> Vec<&str> {
    calls.iter().filter_map(|call| call["path"].as_str()).collect()
}

#[tokio::test]
async fn a_conversation_on_gemini_runs_as_json_and_as_a_stream() {
    let model = counting();
    let server = Parlor::start_with(Options::default().provider("gemini", model.base()));
    let secrets = json!({"googleGenerativeAPIKey": "AIza-mock"});
    let credential = server.credential("googleGenerativeAI", secrets).await;
    let flow = server.install("Gemini", &gemini(&credential)).await;

    let calls = talk(&server, &flow, &model).await;

    let whole = "/v1beta/models/gemini-2.0-flash:generateContent";
    let stream = "/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse";
    assert_eq!(paths(&calls), [whole, stream]);
    assert_eq!(calls[0]["body"]["max_tokens"], 64);
    assert_eq!(calls[0]["body"]["top_p"], 0.8);
    assert!(!server.log().contains("AIza-mock"), "{}", server.log());
}

#[tokio::test]
async fn a_conversation_on_bedrock_runs_as_json_and_as_a_stream() {
    let model = counting();
    let server = Parlor::start_with(Options::default().provider("bedrock", model.base()));
    let secrets = json!({"awsKey": "AKIDEXAMPLE", "awsSecret": "secret-of-aws"});
    let credential = server.credential("awsApi", secrets).await;
    let flow = server.install("Bedrock", &bedrock(&credential)).await;

    let calls = talk(&server, &flow, &model).await;

    let base = "/model/anthropic.claude-3-haiku-20240307-v1%3A0";
    assert_eq!(paths(&calls), [format!("{base}/converse"), format!("{base}/converse-stream")]);
    assert_eq!(calls[0]["body"]["max_tokens"], 200);
    for call in &calls {
        let date = call["headers"]["x-amz-date"].as_str().expect("a signed request has a date");
        assert_eq!(date.len(), "20150830T123600Z".len(), "{date}");
    }
    assert!(!server.log().contains("secret-of-aws"), "{}", server.log());
}

#[tokio::test]
async fn a_key_of_bedrock_may_come_from_the_environment() {
    let model = Aimock::saying(ANSWER);
    let options = Options::default()
        .provider("bedrock", model.base())
        .env("AWS_BEARER_TOKEN_BEDROCK", "bedrock-key-1");
    let server = Parlor::start_with(options);
    let flow = server.install("Bedrock", &bedrock("")).await;

    let reply = server.ask(&flow, &json!({"question": "hi"})).await.expect(200).json();

    assert_eq!(reply["text"], ANSWER);
    let journal = Caller::new(model.base()).get("/__aimock/journal").await.expect(200).json();
    assert_eq!(journal[0]["headers"].get("x-amz-date"), None, "a key of its own signs nothing");
}

#[tokio::test]
async fn a_request_changes_the_models_parameters_and_neither_address_nor_region() {
    let model = Aimock::saying(ANSWER);
    let options =
        Options::default().provider("bedrock", model.base()).provider("gemini", model.base());
    let server = Parlor::start_with(options);
    let google = server.credential("googleGenerativeAI", json!({"googleGenerativeAPIKey": "k"}));
    let gemini = server.install("Gemini", &gemini(&google.await)).await;
    let aws = server.credential("awsApi", json!({"awsKey": "AKID", "awsSecret": "s"})).await;
    let bedrock = server.install("Bedrock", &bedrock(&aws)).await;
    let nowhere = "http://127.0.0.1:9";

    for (flow, changes, path) in [
        (
            &gemini,
            json!({
                "customModelName": "gemini-x", "temperature": 0.25, "maxOutputTokens": 7,
                "baseUrl": nowhere, "googleGenerativeAPIKey": "theirs", "harmCategory": "[]",
            }),
            "/v1beta/models/gemini-x:generateContent",
        ),
        (
            &bedrock,
            json!({
                "customModel": "../../x", "temperature": 0.25, "max_tokens_to_sample": 7,
                "region": "evil.example/", "awsKey": "theirs",
            }),
            "/model/..%2F..%2Fx/converse",
        ),
    ] {
        let body = json!({"question": "hi", "overrideConfig": changes});
        server.ask(flow, &body).await.expect(200);
        let calls = model.received().await;
        let call = calls.last().expect("the model was asked");
        assert_eq!(call.path, path);
        assert_eq!(call.body["temperature"], 0.25);
        assert_eq!(call.body["max_tokens"], 7);
    }
}

#[tokio::test]
async fn a_missing_key_is_told_with_the_ways_to_give_one() {
    let server = Parlor::start();
    for (flow, words) in [
        (gemini(""), "GOOGLE_API_KEY"),
        (bedrock(""), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK"),
    ] {
        let flow = server.install("No key", &flow).await;
        let message = server.ask(&flow, &json!({"question": "hi"})).await.expect_error(422);
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_told_in_its_own_words() {
    let failing = json!({"error": {"message": "Slow down", "type": "rate"}, "status": 429});
    let model = Aimock::start(&json!([{"match": {}, "response": failing}]));
    let options =
        Options::default().provider("bedrock", model.base()).provider("gemini", model.base());
    let server = Parlor::start_with(options);
    for (flow, name) in [(gemini(""), "Gemini"), (bedrock(""), "Amazon Bedrock")] {
        let flow = server.install(name, &flow).await;
        let message = server.ask(&flow, &json!({"question": "hi"})).await.expect_error(429);
        assert_eq!(message, format!("{name} answered 429: Slow down"));
        assert_eq!(server.messages(&flow, "").await, []);
    }
}
