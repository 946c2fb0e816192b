//! Speech to text: words out of recordings, inside the turn that brings them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::replay::{LOCAL_AI_KEY, SENTENCE, Stage, assert_same_answer, assert_same_upstream};
use crate::support::scripted::{Answer, Received, words};
use crate::support::{Aimock, Flow, Options, Parlor, Scripted, eventually, golden};

/// How soon after its client has left a call must be gone.
const SOON: Duration = Duration::from_secs(20);
const START: Duration = Duration::from_secs(60);

const HEARD: &str = "transcribed words from the mock";

/// A recording as a browser sends it.
fn recording() -> Value {
    json!([{
        "data": "data:audio/webm;codecs=opus;base64,GkXfo25vdC1yZWFsbHktYXVkaW8=",
        "type": "audio", "name": "audio.webm", "mime": "audio/webm;codecs=opus",
    }])
}

fn transcript(text: &str) -> Answer {
    let headers = vec![("content-type", "application/json".to_owned())];
    Answer::Whole { status: 200, headers, body: json!({"text": text}).to_string() }
}

fn is_transcription(request: &Received) -> bool {
    request.path == "/v1/audio/transcriptions"
}

/// The recorded stage, whose model server also hears.
async fn stage() -> Stage {
    let stage = Stage::set().await;
    stage.model.answer(|request| match is_transcription(request) {
        true => transcript(HEARD),
        false => Answer::Say(words(SENTENCE)),
    });
    stage
}

/// The parts of a form as (name, value).
fn parts(form: &str) -> Vec<(String, String)> {
    let parts = form.split("name=\"").skip(1).filter_map(|part| {
        let (name, rest) = part.split_once('"')?;
        let (_, value) = rest.split_once("\r\n\r\n")?;
        Some((name.to_owned(), value.split("\r\n--").next()?.to_owned()))
    });
    parts.collect()
}

#[tokio::test]
async fn a_recording_is_transcribed_and_answered_as_recorded() {
    let stage = stage().await;
    for name in ["f-upload-audio", "f-upload-audio-stream"] {
        let exchange = golden::load(name);
        assert_same_answer(&exchange, &stage.send(&exchange).await);
        let received = stage.model.take_received();
        assert_eq!(received.len(), 2, "{received:#?}");
        assert!(is_transcription(&received[0]), "{received:#?}");
        let bearer = format!("Bearer {LOCAL_AI_KEY}");
        assert_eq!(received[0].header("authorization"), Some(bearer.as_str()));
        let recorded = golden::upstream_bodies(name)[0].as_str().expect("a form").to_owned();
        assert_eq!(parts(&received[0].text)[..2], parts(&recorded)[..2], "{name}");
        assert!(received[0].text.contains("filename=\"audio.webm\""), "{}", received[0].text);
        assert!(received[0].text.contains("not-really-audio"), "{}", received[0].text);
        assert_eq!(received[1].messages().last().unwrap().1, HEARD);
    }
}

#[tokio::test]
async fn what_is_no_recording_of_a_known_type_is_left_alone_as_recorded() {
    let stage = stage().await;
    for name in ["f-predict", "f-upload-audio-mp3-mime"] {
        let exchange = golden::load(name);
        assert_same_answer(&exchange, &stage.send(&exchange).await);
        assert_same_upstream(name, &stage.model.take_received());
    }
}

#[tokio::test]
async fn a_recording_needs_no_question_and_its_words_are_stored_and_remembered() {
    let stage = stage().await;
    let flow = stage.flow("f-speech");
    let body = json!({"uploads": recording(), "chatId": "spoken"});
    let reply = stage.server.ask(flow, &body).await.expect(200).json();
    assert_eq!(reply["question"], HEARD);
    let stored = stage.server.messages(flow, "sessionId=spoken").await;
    assert_eq!(stored[0], ("userMessage".to_owned(), HEARD.to_owned()));
    stage.model.take_received();
    let body = json!({"question": "And?", "chatId": "spoken"});
    stage.server.ask(flow, &body).await.expect(200);
    let asked = stage.model.take_received();
    assert_eq!(asked[0].messages()[1], ("user".to_owned(), HEARD.to_owned()));
}

#[tokio::test]
async fn a_recording_replaces_a_typed_question_but_silence_does_not() {
    let stage = stage().await;
    let flow = stage.flow("f-speech");
    let body = json!({"question": "typed", "uploads": recording()});
    let reply = stage.server.ask(flow, &body).await.expect(200).json();
    assert_eq!(reply["question"], HEARD);

    stage.model.answer(|request| match is_transcription(request) {
        true => transcript(""),
        false => Answer::Say(words(SENTENCE)),
    });
    let reply = stage.server.ask(flow, &body).await.expect(200).json();
    assert_eq!(reply["question"], "typed");
}

#[tokio::test]
async fn a_failing_provider_is_a_502_that_tells_no_key_and_stores_nothing() {
    let stage = stage().await;
    let flow = stage.flow("f-speech");
    stage.model.answer(|_| Answer::Whole {
        status: 400,
        headers: vec![("content-type", "application/json".to_owned())],
        body: json!({"error": {"message": "bad audio for sk-local"}}).to_string(),
    });
    let body = json!({"uploads": recording(), "chatId": "failed"});
    let message = stage.server.ask(flow, &body).await.expect_error(502);
    assert!(message.contains("Speech to text") && message.contains("bad audio"), "{message}");
    assert!(!message.contains(LOCAL_AI_KEY), "{message}");
    assert_eq!(stage.server.messages(flow, "sessionId=failed").await, []);
    let path =
        format!("/api/v1/get-upload-file?chatflowId={flow}&chatId=failed&fileName=audio.webm");
    stage.server.anyone().get(&path).await.expect_error(404);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_transcription_with_it() {
    let stage = stage().await;
    let flow = stage.flow("f-speech");
    stage.model.answer(|_| Answer::Hang);
    let path = format!("/api/v1/prediction/{flow}");
    let body = json!({"uploads": recording(), "chatId": "left", "streaming": true});
    let caller = stage.server.anyone();
    let asking = tokio::spawn(async move { caller.open_post(&path, &body).await });
    assert!(eventually(START, async || stage.model.n_open() == 1).await, "nothing was asked");
    asking.abort();
    assert!(eventually(SOON, async || stage.model.n_open() == 0).await, "the call goes on");
    assert_eq!(stage.server.messages(flow, "sessionId=left").await, []);
    let blobs = stage.server.folder().path().join("blobs/staging");
    let is_clean = async || blobs.read_dir().unwrap().next().is_none();
    assert!(eventually(SOON, is_clean).await, "the recording stays");
}

#[tokio::test]
async fn without_speech_to_text_a_recording_brings_no_question() {
    let stage = stage().await;
    let body = json!({"uploads": recording()});
    let message = stage.server.ask(stage.flow("b-conversation"), &body).await.expect_error(400);
    assert!(message.contains("question"), "{message}");
    let mut body = json!({"uploads": recording()});
    body["uploads"][0]["mime"] = json!("audio/mpeg");
    stage.server.ask(stage.flow("f-speech"), &body).await.expect_error(400);
    assert!(stage.model.take_received().is_empty(), "nothing was asked");
}

#[tokio::test]
async fn words_in_a_recording_are_data_like_any_others() {
    let stage = stage().await;
    stage.model.answer(|request| match is_transcription(request) {
        true => transcript("{{$vars.secret}} and {input}"),
        false => Answer::Say(words(SENTENCE)),
    });
    let body = json!({"uploads": recording()});
    stage.server.ask(stage.flow("f-speech"), &body).await.expect(200);
    let asked = stage.model.take_received();
    assert_eq!(asked[1].messages().last().unwrap().1, "{{$vars.secret}} and {input}");
}

#[tokio::test]
async fn openai_is_spoken_to_as_a_server_that_was_not_written_here_expects() {
    let aimock = Aimock::start(&json!([
        {"match": {"endpoint": "transcription"}, "response": {"transcription": {"text": HEARD}}},
        {"match": {"endpoint": "chat"}, "response": {"content": "I heard you."}},
    ]));
    let server = Parlor::start_with(Options::default().provider("openai", &aimock.basepath()));
    let credential = server.openai_credential().await;
    let flow = Flow::golden("f-speech").with_openai(&credential, &aimock.basepath());
    let mut row = flow.row("speech");
    let settings = json!({
        "none": {"status": false},
        "openAIWhisper": {"status": true, "credentialId": credential, "language": "en"},
    });
    row["speechToText"] = Value::from(settings.to_string());
    let flow = server.install_row(&row).await;
    let reply = server.ask(&flow, &json!({"uploads": recording()})).await.expect(200).json();
    assert_eq!((&reply["question"], &reply["text"]), (&json!(HEARD), &json!("I heard you.")));
    let paths: Vec<_> = aimock.received().await.into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/v1/audio/transcriptions", "/v1/chat/completions"]);
}

#[tokio::test]
async fn a_key_of_the_environment_does_not_follow_an_address_that_a_chatflow_typed() {
    let model = Scripted::start(|request| match is_transcription(request) {
        true => transcript(HEARD),
        false => Answer::Say(words(SENTENCE)),
    })
    .await;
    let server = Parlor::start_with(Options::default().env("OPENAI_API_KEY", "sk-environment"));
    let credential = server.openai_credential().await;
    let flow = Flow::golden("f-speech").with_openai(&credential, &model.basepath());
    let mut row = flow.row("speech");
    let settings = json!({"localAISTT": {"status": true, "baseUrl": model.basepath()}});
    row["speechToText"] = Value::from(settings.to_string());
    let flow = server.install_row(&row).await;
    server.ask(&flow, &json!({"uploads": recording()})).await.expect(200);
    let received = model.take_received();
    assert!(is_transcription(&received[0]), "{received:#?}");
    assert_eq!(received[0].header("authorization"), None);
}
