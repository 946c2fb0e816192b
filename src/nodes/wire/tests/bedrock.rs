//! Bedrock: what it is asked, what it answers, and how a request is signed.

use super::*;
use crate::chat_models::NODES;
use crate::error::NodeError;
use crate::model::{OutputSchema, ToolChoice};
use crate::wire::eventstream::test_support::{event, frame};

fn keys(fields: &[(&str, &str)]) -> Option<Result<Secrets, String>> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    Some(Ok(Secrets { fields, from_environment: false }))
}

fn bedrock<const N: usize>(values: [(&str, InputValue); N]) -> Arc<dyn ChatModel> {
    let secrets = keys(&[("awsKey", "AKIDEXAMPLE"), ("awsSecret", "hunter2-hunter2")]);
    model("awsChatBedrock", &Inputs { secrets, ..inputs(values) })
}

fn frames(frames: &[Vec<u8>]) -> Vec<u8> {
    [stream("").into_bytes(), frames.concat()].concat()
}

fn delta(index: usize, delta: Value) -> Vec<u8> {
    let fields = json!({ "contentBlockIndex": index, "delta": delta, "p": "abc" });
    event("contentBlockDelta", &fields.to_string())
}

fn begun(index: usize, start: Value) -> Vec<u8> {
    let fields = json!({ "contentBlockIndex": index, "start": start });
    event("contentBlockStart", &fields.to_string())
}

fn stopped(reason: &str) -> Vec<u8> {
    event("messageStop", &json!({ "stopReason": reason }).to_string())
}

fn counted() -> Vec<u8> {
    let usage = json!({ "inputTokens": 5, "cacheReadInputTokens": 2, "outputTokens": 9 });
    event("metadata", &json!({ "usage": usage }).to_string())
}

fn whole(content: Value, reason: &str) -> String {
    let body = json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": reason, "usage": { "inputTokens": 3, "outputTokens": 4 },
    });
    answer("200", "", &body.to_string())
}

#[test]
fn bedrock_is_asked_as_the_node_says_and_streams() {
    run(Box::pin(async {
        let model = bedrock([
            ("region", source("eu-west-1")),
            ("model", source("anthropic.claude-3-haiku-20240307-v1:0")),
            ("customModel", source("eu.amazon.nova-lite-v1:0")),
            ("temperature", source("0.7")),
            ("max_tokens_to_sample", source("200")),
        ]);
        let script = frames(&[
            event("messageStart", r#"{"role":"assistant"}"#),
            delta(0, json!({ "reasoningContent": { "text": "Hm." } })),
            delta(1, json!({ "text": "Hel" })),
            event("somethingNew", "no JSON"),
            delta(1, json!({ "text": "lo" })),
            event("contentBlockStop", r#"{"contentBlockIndex":1}"#),
            stopped("end_turn"),
            counted(),
        ]);
        let request = ChatRequest { stop: vec!["END".to_owned(), String::new()], ..hello() };

        let (reply, server, tokens) = ask_bytes(&*model, request, script, true).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("Hello", FinishReason::Stop));
        assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (7, 9));
        assert_eq!(tokens, ["Hel", "lo"]);
        let expected = json!({
            "system": [{ "text": "Be kind." }],
            "messages": [{ "role": "user", "content": [{ "text": "hi" }] }],
            "inferenceConfig":
                { "maxTokens": 200, "temperature": 0.7, "stopSequences": ["END"] },
        });
        assert_eq!(server.body(), expected);
        let head = server.head();
        let line = "post /model/eu.amazon.nova-lite-v1%3a0/converse-stream http/1.1";
        assert!(head.starts_with(line), "{head}");
        assert!(head.contains("/eu-west-1/bedrock/aws4_request, signedheaders="), "{head}");
    }));
}

#[test]
fn a_request_is_signed_and_carries_no_secret() {
    run(Box::pin(async {
        let secrets = keys(&[
            ("awsKey", "AKIDEXAMPLE"),
            ("awsSecret", "hunter2-hunter2"),
            ("awsSession", "session-token"),
        ]);
        let model = model("awsChatBedrock", &Inputs { secrets, ..inputs([]) });
        let script = whole(json!([{ "text": "Hi" }]), "end_turn");

        let (reply, server, _) = ask(&*model, hello(), script, false).await;

        assert_eq!(reply.unwrap().text, "Hi");
        let head = server.head();
        let line = "post /model/anthropic.claude-3-haiku-20240307-v1%3a0/converse http/1.1";
        assert!(head.starts_with(line), "{head}");
        let names = "signedheaders=content-type;host;x-amz-date;x-amz-security-token, signature=";
        assert!(head.contains("authorization: aws4-hmac-sha256 credential=akidexample/"), "{head}");
        assert!(head.contains("/us-east-1/bedrock/aws4_request"), "{head}");
        assert!(head.contains(names), "{head}");
        assert!(head.contains("x-amz-security-token: session-token"), "{head}");
        assert!(!head.contains("hunter2"), "{head}");
    }));
}

#[test]
fn a_key_of_bedrocks_own_comes_before_a_signature() {
    run(Box::pin(async {
        let secrets =
            keys(&[("awsBedrockApiKey", "bdr-123456"), ("awsKey", "a"), ("awsSecret", "b")]);
        let model = model("awsChatBedrock", &Inputs { secrets, ..inputs([]) });
        let refusal = answer("403", "", r#"{"message":"Bad token bdr-123456"}"#);

        let (reply, server, _) = ask(&*model, hello(), refusal, false).await;

        assert!(server.head().contains("authorization: bearer bdr-123456"), "{}", server.head());
        let error = reply.unwrap_err().to_string();
        assert_eq!(error, "Amazon Bedrock answered 403: Bad token [hidden]");
    }));
}

#[test]
fn without_a_key_only_an_operators_address_is_asked() {
    run(Box::pin(async {
        let half = keys(&[("awsKey", "AKIDEXAMPLE")]);
        let model = model("awsChatBedrock", &Inputs { secrets: half, ..inputs([]) });
        let script = whole(json!([{ "text": "Hi" }]), "end_turn");

        let (reply, server, _) = ask(&*model, hello(), script, false).await;
        assert!(reply.is_ok());
        assert!(!server.head().contains("authorization"), "{}", server.head());

        let error = model.call(hello(), &TestTurn::asking("hi").ctx(), true).await.unwrap_err();
        assert!(matches!(error, NodeError::MissingCredential(_)), "{error}");
        assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }));
}

#[test]
fn tools_are_called_in_pieces_and_their_results_come_back() {
    run(Box::pin(async {
        let script = frames(&[
            delta(0, json!({ "text": "Well" })),
            begun(1, json!({ "toolUse": { "toolUseId": "t1", "name": "add" } })),
            delta(1, json!({ "toolUse": { "input": "{\"a\"" } })),
            delta(1, json!({ "toolUse": { "input": ":3}" } })),
            begun(2, json!({ "toolUse": { "toolUseId": "t2", "name": "add" } })),
            stopped("tool_use"),
        ]);
        let mut request = tool_talk();
        request.tool_choice = ToolChoice::Named("add".to_owned());

        let (reply, server, _) = ask_bytes(&*bedrock([]), request.clone(), script, true).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("Well", FinishReason::ToolCalls));
        let calls: Vec<_> =
            reply.tool_calls.iter().map(|call| (call.id.as_str(), &call.arguments)).collect();
        assert_eq!(calls, [("t1", &json!({ "a": 3 })), ("t2", &json!({}))]);
        let expected = json!([
            { "role": "user", "content": [
                { "text": "See" },
                { "image": { "format": "png", "source": { "bytes": "QUJD" } } },
            ] },
            { "role": "assistant", "content": [
                { "toolUse": { "toolUseId": "c1", "name": "add", "input": { "a": 1 } } },
            ] },
            { "role": "user", "content": [
                { "toolResult": { "toolUseId": "c1", "content": [{ "text": "2" }] } },
                { "text": "And?" },
            ] },
        ]);
        let body = server.body();
        assert_eq!(body["messages"], expected);
        let expected = json!({
            "tools": [{ "toolSpec": {
                "name": "add", "description": "Adds",
                "inputSchema": { "json": { "type": "object" } },
            } }],
            "toolChoice": { "tool": { "name": "add" } },
        });
        assert_eq!(body["toolConfig"], expected);

        request.messages = vec![
            user("Add."),
            ModelMessage {
                tool_calls: reply.tool_calls.clone(),
                ..ModelMessage::text(Speaker::Assistant, reply.text)
            },
            ModelMessage {
                tool_call_id: Some("t1".to_owned()),
                ..ModelMessage::text(Speaker::Tool, "")
            },
        ];
        request.tools.clear();
        request.tool_choice = ToolChoice::None;
        let script = whole(json!([{ "text": "Done" }]), "end_turn");

        let (reply, server, _) = ask(&*bedrock([]), request, script, false).await;

        assert_eq!(reply.unwrap().text, "Done");
        let body = server.body();
        let result = json!({ "toolUseId": "t1", "content": [{ "text": "(no output)" }] });
        assert_eq!(body["messages"][2]["content"][0]["toolResult"], result);
        // Without tools, a conversation with calls would be refused.
        assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], json!("add"));
        assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 1);
    }));
}

#[test]
fn an_answers_shape_is_asked_for_as_a_tool_and_streamed_as_text() {
    run(Box::pin(async {
        let schema = json!({ "properties": { "n": { "type": "integer" } } });
        let schema = OutputSchema { name: "out".to_owned(), schema, strict: true };
        let request = ChatRequest { output_schema: Some(schema), ..hello() };
        let script = frames(&[
            begun(0, json!({ "toolUse": { "toolUseId": "t", "name": "out" } })),
            delta(0, json!({ "toolUse": { "input": "{\"n\":1}" } })),
            stopped("tool_use"),
            counted(),
        ]);

        let (reply, server, tokens) = ask_bytes(&*bedrock([]), request.clone(), script, true).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), (r#"{"n":1}"#, FinishReason::Stop));
        assert_eq!((reply.tool_calls, tokens), (Vec::new(), vec![r#"{"n":1}"#.to_owned()]));
        let config = &server.body()["toolConfig"];
        assert_eq!(config["toolChoice"], json!({ "tool": { "name": "out" } }));
        assert_eq!(config["tools"][0]["toolSpec"]["inputSchema"]["json"]["type"], json!("object"));

        let content = json!([{ "toolUse":
            { "toolUseId": "t", "name": "out", "input": { "n": 2 } } }]);
        let script = whole(content, "tool_use");
        let (reply, ..) = ask(&*bedrock([]), request, script, false).await;
        assert_eq!(reply.unwrap().text, r#"{"n":2}"#);
    }));
}

#[test]
fn every_end_of_an_answer_of_bedrock_has_its_name() {
    run(Box::pin(async {
        for (reason, finish) in [
            ("end_turn", FinishReason::Stop),
            ("stop_sequence", FinishReason::Stop),
            ("max_tokens", FinishReason::Length),
            ("model_context_window_exceeded", FinishReason::Length),
            ("content_filtered", FinishReason::ContentFilter),
            ("guardrail_intervened", FinishReason::ContentFilter),
            ("something_new", FinishReason::Stop),
        ] {
            let script = whole(json!([{ "text": "So" }]), reason);
            let (reply, ..) = ask(&*bedrock([]), hello(), script, false).await;
            let reply = reply.unwrap();
            assert_eq!((reply.text.as_str(), reply.finish), ("So", finish), "{reason}");
            assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (3, 4));
        }
        for (reason, problem) in [
            ("content_filtered", "Bedrock withheld its answer; ask in other words"),
            ("malformed_tool_use", "wrote an answer that cannot be read"),
        ] {
            let script = whole(json!([]), reason);
            let (reply, ..) = ask(&*bedrock([]), hello(), script, false).await;
            let error = reply.unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }));
}

#[test]
fn a_stream_of_bedrock_that_is_not_whole_is_no_answer() {
    let hel = || delta(0, json!({ "text": "Hel" }));
    let throttled = [(":message-type", "exception"), (":exception-type", "throttlingException")];
    let broken = [(":message-type", "error"), (":error-code", "x"), (":error-message", "Gone")];
    let mut damaged = stopped("end_turn");
    damaged[20] ^= 1;
    let stop = stopped("end_turn");
    for (script, problem) in [
        (vec![hel()], "broke off in the middle of its answer"),
        (vec![hel(), stop[..stop.len() - 1].to_vec()], "broke off in the middle of its answer"),
        (vec![hel(), damaged], "sent a piece that was damaged on the way"),
        (vec![hel(), event("contentBlockDelta", "{")], "no valid JSON"),
        (vec![hel(), frame(&throttled, br#"{"message":"Too many"}"#)], "429: Too many"),
        (vec![hel(), frame(&broken, b"")], "500: Gone"),
        (vec![hel(), frame(&throttled, b"")], "429: an error without a message"),
    ] {
        run(Box::pin(async move {
            let (reply, ..) = ask_bytes(&*bedrock([]), hello(), frames(&script), true).await;

            let error = reply.unwrap_err().to_string();
            assert!(error.contains(problem), "{problem}: {error}");
        }));
    }
}

#[test]
fn what_bedrock_cannot_be_asked_is_the_callers_error() {
    let picture = |url: &str| {
        let mut request = hello();
        request.messages[1].parts.push(image(url));
        request
    };
    let silence = ChatRequest::new(vec![system("Be kind."), user(" ")]);
    for (request, problem) in [
        (picture("https://example.com/x.png"), "takes uploaded images only"),
        (picture("data:image/svg+xml;base64,QUJD"), "PNG, JPEG, GIF and WebP only"),
        (silence, "needs a question; write one"),
    ] {
        run(Box::pin(async move {
            let server = TestServer::answering(&[]).await;
            let ctx = server.serving(TestTurn::asking("hi").ctx());

            let error = bedrock([]).call(request, &ctx, true).await.unwrap_err();

            assert!(matches!(&error, NodeError::BadRequest(text) if text.contains(problem)));
            assert_eq!(server.n_requests(), 0);
        }));
    }
}

#[test]
fn a_region_or_a_model_that_leads_elsewhere_is_refused() {
    let spec = NODES.iter().find(|spec| spec.name == "awsChatBedrock").unwrap();
    for (name, value) in [
        ("region", "us-east-1.evil.example/"),
        ("region", "US"),
        ("region", "a@b"),
        ("model", ".."),
        ("customModel", "."),
        ("max_tokens_to_sample", "0"),
        ("temperature", "warm"),
    ] {
        let error = (spec.build)(&inputs([(name, source(value))])).err().unwrap().to_string();
        assert!(error.contains(&format!(": {name} must be")), "{error}");
    }
}
