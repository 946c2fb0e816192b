use serde_json::json;

use super::*;
use crate::test_support::TestTurn;
use crate::wire::test_server::{TestServer, answer, run};

fn provider(key: &str) -> &'static Provider {
    PROVIDERS.iter().find(|provider| provider.key == key).unwrap()
}

fn transcriber(key: &str, settings: Value, secrets: Value) -> Transcriber {
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let Value::Object(fields) = secrets else { panic!("secrets are an object") };
    let secrets = Secrets { fields, from_environment: false };
    provider(key).transcriber(&settings, Ok(secrets)).unwrap()
}

fn clip() -> Clip {
    Clip::of("audio.webm", "audio/webm", "not-really-audio").unwrap()
}

fn ok(body: &Value) -> String {
    answer("200", "content-type: application/json\r\n", &body.to_string())
}

/// The words that come back, and the requests that went out.
async fn said(
    transcriber: &Transcriber,
    server: &TestServer,
) -> (Result<String, NodeError>, Vec<String>) {
    let ctx = server.serving(TestTurn::asking("").ctx());
    let words = transcriber.transcribe(&clip(), &ctx).await;
    (words, server.requests())
}

/// The fields of a form in order, a file as `name=content of NAME`.
fn fields(request: &str) -> Vec<String> {
    let parts = request.split("name=\"").skip(1).filter(|part| !part.starts_with("audio.webm"));
    let field = |part: &str| {
        let (name, rest) = part.split_once('"').unwrap();
        let value = rest.split_once("\r\n\r\n").map_or("", |(_, value)| value);
        format!("{name}={}", value.split("\r\n").next().unwrap())
    };
    parts.filter(|part| part.contains("\r\n\r\n")).map(field).collect()
}

#[test]
fn only_the_recorded_types_are_transcribed_whatever_their_parameters() {
    for mime in ["audio/webm", "audio/mp4", "audio/ogg", "audio/webm;codecs=opus"] {
        assert!(Clip::of("a", mime, "x").is_some(), "{mime}");
    }
    for mime in ["audio/mpeg", "audio/wav", "video/webm", "", "audio/webmx"] {
        assert!(Clip::of("a", mime, "x").is_none(), "{mime}");
    }
}

#[test]
fn open_ai_gets_its_form_with_the_settings() {
    run(Box::pin(async {
        let server = TestServer::answering(&[ok(&json!({"text": "hello"}))]).await;
        let settings = json!({"language": "en", "temperature": "0.2", "prompt": "", "model": "x"});
        let open_ai = transcriber("openAIWhisper", settings, json!({"openAIApiKey": "sk-secret"}));
        let (words, requests) = said(&open_ai, &server).await;
        assert_eq!(words.unwrap(), "hello");
        assert!(requests[0].starts_with("POST /audio/transcriptions "), "{requests:?}");
        assert!(server.head().contains("authorization: bearer sk-secret"));
        assert!(requests[0].contains("filename=\"audio.webm\""), "{requests:?}");
        let expected = ["model=whisper-1", "language=en", "temperature=0.2"];
        assert_eq!(fields(&requests[0])[..3], expected);
        assert!(requests[0].contains("not-really-audio"));
    }));
}

#[test]
fn groq_is_asked_for_its_own_model_and_format() {
    run(Box::pin(async {
        let server = TestServer::answering(&[ok(&json!({"text": "hello"}))]).await;
        let groq = transcriber("groqWhisper", json!({}), json!({"groqApiKey": "gsk-1"}));
        let (words, requests) = said(&groq, &server).await;
        assert_eq!(words.unwrap(), "hello");
        let expected = ["model=whisper-large-v3", "response_format=verbose_json"];
        assert_eq!(fields(&requests[0])[..2], expected);
    }));
}

#[test]
fn local_ai_is_called_where_the_chatflow_says_also_without_a_key() {
    run(Box::pin(async {
        let server = TestServer::answering(&[ok(&json!({"text": "hello"}))]).await;
        let settings = json!({"baseUrl": format!("{}/v1/", server.url), "model": "tiny"});
        let local = transcriber("localAISTT", settings, json!({}));
        let ctx = TestTurn::asking("").ctx();
        assert_eq!(local.transcribe(&clip(), &ctx).await.unwrap(), "hello");
        assert!(server.requests()[0].starts_with("POST /v1/audio/transcriptions "));
        assert!(!server.head().contains("authorization"));
        assert_eq!(fields(&server.requests()[0])[0], "model=tiny");
    }));
}

#[test]
fn azure_gets_the_recording_and_a_definition() {
    run(Box::pin(async {
        let reply = ok(&json!({"combinedPhrases": [{"channel": 0, "text": "hello"}]}));
        let server = TestServer::answering(&[reply]).await;
        let secrets =
            json!({"azureSubscriptionKey": "azure-secret", "serviceRegion": "westeurope"});
        let azure = transcriber("azureCognitive", json!({"channels": "0"}), secrets);
        let (words, requests) = said(&azure, &server).await;
        assert_eq!(words.unwrap(), "hello");
        let path = "/speechtotext/transcriptions:transcribe?api-version=2024-05-15-preview";
        assert!(requests[0].starts_with(&format!("POST {path} ")), "{requests:?}");
        assert!(server.head().contains("ocp-apim-subscription-key: azure-secret"));
        let definition = r#"{"locales":["en-US"],"profanityFilterMode":"Masked","channels":[0]}"#;
        assert!(requests[0].contains(definition), "{requests:?}");
    }));
}

#[test]
fn a_region_that_is_a_host_gets_no_key() {
    run(Box::pin(async {
        let secrets = json!({"azureSubscriptionKey": "k", "serviceRegion": "evil.example/x"});
        let azure = transcriber("azureCognitive", json!({}), secrets);
        let error = azure.transcribe(&clip(), &TestTurn::asking("").ctx()).await.unwrap_err();
        assert!(matches!(error, NodeError::BadInput { .. }), "{error}");
    }));
}

#[test]
fn assembly_ai_is_given_the_recording_and_asked_until_it_is_done() {
    run(Box::pin(async {
        let server = TestServer::answering(&[
            ok(&json!({"upload_url": "https://cdn.example/1"})),
            ok(&json!({"id": "t-1", "status": "queued"})),
            ok(&json!({"id": "t-1", "status": "completed", "text": "hello"})),
        ])
        .await;
        let assembly =
            transcriber("assemblyAiTranscribe", json!({}), json!({"assemblyAIApiKey": "aai-1"}));
        let (words, requests) = said(&assembly, &server).await;
        assert_eq!(words.unwrap(), "hello");
        assert!(requests[0].starts_with("POST /v2/upload ") && requests[0].ends_with("-audio"));
        let order = r#"{"audio_url":"https://cdn.example/1","speaker_labels":false}"#;
        assert!(requests[1].starts_with("POST /v2/transcript ") && requests[1].ends_with(order));
        assert!(requests[2].starts_with("GET /v2/transcript/t-1 "), "{requests:?}");
        let with_key = |request: &String| request.to_lowercase().contains("authorization: aai-1");
        assert!(requests.iter().all(with_key), "{requests:?}");
    }));
}

#[test]
fn a_transcription_that_failed_is_the_providers_error_without_its_key() {
    run(Box::pin(async {
        let server = TestServer::answering(&[
            ok(&json!({"upload_url": "https://cdn.example/1"})),
            ok(&json!({"id": "t-1"})),
            ok(&json!({"status": "error", "error": "no speech, key aai-secret"})),
        ])
        .await;
        let secrets = json!({"assemblyAIApiKey": "aai-secret"});
        let assembly = transcriber("assemblyAiTranscribe", json!({}), secrets);
        let (words, _) = said(&assembly, &server).await;
        let error = words.unwrap_err();
        assert_eq!(error.code(), parlor_schemas::ErrorCode::UpstreamFailed);
        let error = error.to_string();
        assert!(error.contains("no speech") && !error.contains("aai-secret"), "{error}");
    }));
}

#[test]
fn nonsense_and_refusals_are_upstream_failures() {
    run(Box::pin(async {
        for reply in [
            answer("200", "", "<html>"),
            ok(&json!({"words": "none"})),
            answer("401", "", r#"{"error":{"message":"wrong key sk-secret"}}"#),
        ] {
            let server = TestServer::answering(&[reply]).await;
            let secrets = json!({"openAIApiKey": "sk-secret"});
            let open_ai = transcriber("openAIWhisper", json!({}), secrets);
            let (words, _) = said(&open_ai, &server).await;
            let error = words.unwrap_err();
            assert_eq!(error.code(), parlor_schemas::ErrorCode::UpstreamFailed, "{error}");
            assert!(!error.to_string().contains("sk-secret"), "{error}");
        }
    }));
}

#[test]
fn a_missing_key_is_told_before_anything_is_sent() {
    run(Box::pin(async {
        let missing = Err("store one".to_owned());
        let open_ai = provider("openAIWhisper").transcriber(&Map::new(), missing).unwrap();
        let error = open_ai.transcribe(&clip(), &TestTurn::asking("").ctx()).await.unwrap_err();
        assert!(matches!(error, NodeError::MissingCredential(_)), "{error}");
    }));
}
