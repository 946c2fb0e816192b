//! Gemini: what it is asked, what it answers, and what it refuses.

use super::*;
use crate::chat_models::NODES;
use crate::error::NodeError;
use crate::model::{OutputSchema, ToolChoice};

fn gemini<const N: usize>(values: [(&str, InputValue); N]) -> Arc<dyn ChatModel> {
    let secrets = secret("googleGenerativeAPIKey", false);
    model("chatGoogleGenerativeAI", &Inputs { secrets, ..inputs(values) })
}

fn events(chunks: &[Value]) -> String {
    stream(&chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect::<String>())
}

fn parts(parts: Value) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": parts } }] })
}

fn finished(parts: Value, reason: &str) -> Value {
    json!({
        "candidates": [{ "content": { "parts": parts }, "finishReason": reason }],
        "usageMetadata": {
            "promptTokenCount": 7, "toolUsePromptTokenCount": 1,
            "candidatesTokenCount": 2, "thoughtsTokenCount": 3,
        },
    })
}

async fn answered(chunk: Value) -> Result<ChatReply, NodeError> {
    let script = answer("200", "", &chunk.to_string());
    ask(&*gemini([]), hello(), script, false).await.0
}

#[test]
fn gemini_is_asked_as_the_node_says_and_streams_all_but_its_thoughts() {
    run(Box::pin(async {
        let model = gemini([
            ("modelName", source("gemini-1.5-pro")),
            ("customModelName", source("gemini-exp")),
            ("temperature", source("0.9")),
            ("maxOutputTokens", source("33")),
            ("topP", source("0.5")),
            ("topK", source("4")),
            ("harmCategory", source(r#"["HARM_CATEGORY_HARASSMENT"]"#)),
            ("harmBlockThreshold", source(r#"["BLOCK_ONLY_HIGH"]"#)),
        ]);
        let script = events(&[
            parts(json!([{ "text": "Hm.", "thought": true }])),
            parts(json!([{ "text": "Hel" }])),
            finished(json!([{ "text": "lo" }]), "STOP"),
        ]);
        let request = ChatRequest { stop: vec!["END".to_owned(), String::new()], ..hello() };

        let (reply, server, tokens) = ask(&*model, request, script, true).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("Hello", FinishReason::Stop));
        assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (8, 5));
        assert_eq!(tokens, ["Hel", "lo"]);
        let expected = json!({
            "systemInstruction": { "parts": [{ "text": "Be kind." }] },
            "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }],
            "generationConfig": {
                "temperature": 0.9, "topP": 0.5, "topK": 4, "maxOutputTokens": 33,
                "stopSequences": ["END"],
            },
            "safetySettings": [
                { "category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH" },
            ],
        });
        assert_eq!(server.body(), expected);
        let head = server.head();
        let line = "post /v1beta/models/gemini-exp:streamgeneratecontent?alt=sse http";
        assert!(head.starts_with(line), "{head}");
        assert!(head.contains("x-goog-api-key: key-123456"), "{head}");
    }));
}

#[test]
fn a_call_comes_back_with_its_signature_and_its_result() {
    run(Box::pin(async {
        let calls = json!([
            { "functionCall": { "id": "g1", "name": "add", "args": { "a": 3 } },
              "thoughtSignature": "c2ln" },
            { "functionCall": { "name": "add" } },
        ]);
        let mut request = tool_talk();
        request.tool_choice = ToolChoice::Required;
        let script = events(&[finished(calls, "STOP")]);

        let (reply, server, _) = ask(&*gemini([]), request.clone(), script, true).await;

        let reply = reply.unwrap();
        assert_eq!(reply.finish, FinishReason::ToolCalls);
        let arguments: Vec<_> = reply.tool_calls.iter().map(|call| &call.arguments).collect();
        assert_eq!(arguments, [&json!({ "a": 3 }), &json!({})]);
        let body = server.body();
        let called = json!({ "functionCall": { "name": "add", "args": { "a": 1 } } });
        let result =
            json!({ "functionResponse": { "name": "add", "response": { "output": "2" } } });
        let expected = json!([
            { "role": "user", "parts": [
                { "text": "See" },
                { "inlineData": { "mimeType": "image/png", "data": "QUJD" } },
            ] },
            { "role": "model", "parts": [called] },
            { "role": "user", "parts": [result, { "text": "And?" }] },
        ]);
        assert_eq!(body["contents"], expected);
        let declared =
            json!([{ "functionDeclarations": [{ "name": "add", "description": "Adds" }] }]);
        assert_eq!(body["tools"], declared);
        assert_eq!(body["toolConfig"], json!({ "functionCallingConfig": { "mode": "ANY" } }));

        let results = reply.tool_calls.iter().map(|call| ModelMessage {
            tool_call_id: Some(call.id.clone()),
            ..ModelMessage::text(Speaker::Tool, "5")
        });
        let results: Vec<_> = results.collect();
        request.messages = vec![
            user("Add."),
            ModelMessage {
                tool_calls: reply.tool_calls.clone(),
                ..ModelMessage::text(Speaker::Assistant, "")
            },
        ];
        request.messages.extend(results);
        let script = answer("200", "", &finished(json!([{ "text": "Five" }]), "STOP").to_string());

        let (reply, server, _) = ask(&*gemini([]), request, script, false).await;

        assert_eq!(reply.unwrap().text, "Five");
        let expected = json!([
            { "role": "user", "parts": [{ "text": "Add." }] },
            { "role": "model", "parts": [
                { "functionCall": { "id": "g1", "name": "add", "args": { "a": 3 } },
                  "thoughtSignature": "c2ln" },
                { "functionCall": { "name": "add", "args": {} } },
            ] },
            { "role": "user", "parts": [
                { "functionResponse":
                    { "id": "g1", "name": "add", "response": { "output": "5" } } },
                { "functionResponse": { "name": "add", "response": { "output": "5" } } },
            ] },
        ]);
        assert_eq!(server.body()["contents"], expected);
    }));
}

#[test]
fn an_answers_shape_is_asked_for_in_geminis_words() {
    run(Box::pin(async {
        let schema = json!({
            "$schema": "x", "type": "object", "additionalProperties": false,
            "properties": { "n": { "type": "integer" } },
        });
        let schema = OutputSchema { name: "out".to_owned(), schema, strict: true };
        let request = ChatRequest { output_schema: Some(schema), ..hello() };
        let script = answer("200", "", &finished(json!([{ "text": "{}" }]), "STOP").to_string());

        let (reply, server, _) = ask(&*gemini([]), request, script, false).await;

        assert_eq!(reply.unwrap().text, "{}");
        let expected = json!({
            "responseMimeType": "application/json",
            "responseSchema":
                { "type": "object", "properties": { "n": { "type": "integer" } } },
        });
        assert_eq!(server.body()["generationConfig"], expected);
        assert!(server.head().starts_with("post /v1beta/models/gemini-1.5-flash-latest:generate"));
    }));
}

#[test]
fn every_end_of_an_answer_has_its_name() {
    run(Box::pin(async {
        for (reason, finish) in [
            ("STOP", FinishReason::Stop),
            ("MAX_TOKENS", FinishReason::Length),
            ("SAFETY", FinishReason::ContentFilter),
            ("RECITATION", FinishReason::ContentFilter),
            ("SOMETHING_NEW", FinishReason::Stop),
        ] {
            let reply = answered(finished(json!([{ "text": "So" }]), reason)).await.unwrap();
            assert_eq!((reply.text.as_str(), reply.finish), ("So", finish), "{reason}");
        }
    }));
}

#[test]
fn what_gemini_withholds_or_breaks_is_an_error_that_says_so() {
    run(Box::pin(async {
        let blocked = json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } });
        let silent = json!({ "candidates": [{ "finishReason": "SAFETY" }] });
        for (chunk, code, problem) in [
            (blocked, "BadRequest", "Gemini blocked the prompt (PROHIBITED_CONTENT); ask in"),
            (silent, "BadRequest", "Gemini withheld its answer (SAFETY); ask in other words"),
            (finished(json!([]), "MALFORMED_FUNCTION_CALL"), "UpstreamFailed", "cannot be read"),
            (json!({}), "UpstreamFailed", "Gemini sent a reply without an answer"),
            (json!({ "candidates": 1 }), "UpstreamFailed", "no valid JSON"),
            (parts(json!([{ "functionCall": {} }])), "UpstreamFailed", "without its name"),
        ] {
            let error = answered(chunk).await.unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
            assert_eq!(format!("{:?}", error.code()), code);
        }
    }));
}

#[test]
fn a_stream_that_breaks_off_or_complains_is_no_answer() {
    run(Box::pin(async {
        let failure = json!({ "error": { "code": 503, "message": "Overloaded key-123456" } });
        for (chunks, problem) in [
            (vec![parts(json!([{ "text": "Hel" }]))], "broke off in the middle of its answer"),
            (vec![parts(json!([{ "text": "Hel" }])), failure], "503: Overloaded [hidden]"),
        ] {
            let (reply, ..) = ask(&*gemini([]), hello(), events(&chunks), true).await;
            let error = reply.unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }));
}

#[test]
fn a_refused_key_is_told_in_geminis_words_without_the_key() {
    run(Box::pin(async {
        let body = r#"{"error":{"code":400,"message":"API key key-123456 not valid.","status":"INVALID_ARGUMENT"}}"#;

        let (reply, ..) = ask(&*gemini([]), hello(), answer("400", "", body), false).await;

        let error = reply.unwrap_err().to_string();
        assert_eq!(error, "Gemini answered 400: API key [hidden] not valid.");
    }));
}

#[test]
fn what_gemini_cannot_be_asked_is_the_callers_error() {
    let mut picture = hello();
    picture.messages[1].parts.push(image("https://example.com/x.png"));
    let silence = ChatRequest::new(vec![system("Be kind."), user("")]);
    for (request, problem) in
        [(picture, "takes uploaded images only"), (silence, "needs a question; write one")]
    {
        run(Box::pin(async move {
            let server = TestServer::answering(&[]).await;
            let ctx = server.serving(TestTurn::asking("hi").ctx());

            let error = gemini([]).call(request, &ctx, true).await.unwrap_err();

            assert!(matches!(&error, NodeError::BadRequest(text) if text.contains(problem)));
            assert_eq!(server.n_requests(), 0);
        }));
    }
}

#[test]
fn a_key_from_the_environment_stays_away_from_a_typed_address_of_gemini() {
    run(Box::pin(async {
        for (from_environment, is_sent) in [(true, false), (false, true)] {
            let script = events(&[finished(json!([{ "text": "Hi" }]), "STOP")]);
            let server = TestServer::answering(&[script]).await;
            let values = inputs([("baseUrl", source(&format!("{}/proxy/", server.url)))]);
            let secrets = secret("googleGenerativeAPIKey", from_environment);
            let model = model("chatGoogleGenerativeAI", &Inputs { secrets, ..values });

            model.call(hello(), &TestTurn::asking("hi").ctx(), true).await.unwrap();

            let head = server.head();
            assert!(head.starts_with("post /proxy/v1beta/models/gemini-1.5-flash"), "{head}");
            assert_eq!(head.contains("x-goog-api-key"), is_sent);
        }
    }));
}

#[test]
fn harm_settings_that_do_not_fit_are_refused_by_name() {
    let spec = NODES.iter().find(|spec| spec.name == "chatGoogleGenerativeAI").unwrap();
    let two = r#"["HARM_CATEGORY_HARASSMENT","HARM_CATEGORY_HATE_SPEECH"]"#;
    for (categories, thresholds, problem) in [
        (two, r#"["BLOCK_NONE"]"#, "harmBlockThreshold must have as many values as harmCategory"),
        (two, "", "harmBlockThreshold must have as many"),
        ("[1]", r#"["BLOCK_NONE"]"#, "harmCategory must be a JSON array of words"),
        ("HARM", "", "harmCategory is no valid JSON"),
    ] {
        let values = inputs([
            ("harmCategory", source(categories)),
            ("harmBlockThreshold", source(thresholds)),
        ]);
        let error = (spec.build)(&values).err().unwrap().to_string();
        assert!(error.contains(problem), "{error}");
    }
}
