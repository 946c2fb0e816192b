//! P8: how often a provider is asked that fails. What counts are the calls
//! that reach it, whatever was asked for: an answer, a stream, vectors, words.

use serde_json::{Value, json};

use crate::replay::Stage;
use crate::support::scripted::words;
use crate::support::{Answer, Options, Reply};

/// Turns of each kind in the outage.
const N_TURNS: usize = 25;
/// The retries that a server has before any call earned one.
const FLOOR: usize = 3;

/// Each kind of call: the flow whose turn begins with it, and the path.
const KINDS: [(&str, &str, bool); 4] = [
    ("b-conversation", "/v1/chat/completions", false),
    ("b-conversation", "/v1/chat/completions", true),
    ("c-retrievalqa", "/v1/embeddings", false),
    ("f-speech", "/v1/audio/transcriptions", false),
];

/// Without breakers: they would hide what retries alone do.
async fn stage() -> Stage {
    Stage::set_with(Options::default().args(&["--breaker", "off"])).await
}

fn failing(status: u16, headers: &[(&'static str, &str)]) -> Answer {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Answer::Whole { status, headers, body: r#"{"error":{"message":"no"}}"#.to_owned() }
}

async fn ask(stage: &Stage, flow: &str, streaming: bool) -> Reply {
    let mut body = json!({"question": "Why?", "streaming": streaming});
    if flow == "f-speech" {
        let data = "data:audio/webm;codecs=opus;base64,GkXfo25vdC1yZWFsbHktYXVkaW8=";
        let mime = "audio/webm;codecs=opus";
        body["uploads"] = json!([{"data": data, "type": "audio", "name": "a.webm", "mime": mime}]);
    }
    stage.server.ask(stage.flow(flow), &body).await
}

/// The calls that one turn made.
async fn calls_of(stage: &Stage, flow: &str, streaming: bool) -> (Reply, Vec<Value>) {
    stage.model.take_received();
    let reply = ask(stage, flow, streaming).await;
    let received = stage.model.take_received().into_iter();
    (reply, received.map(|request| json!(request.path)).collect())
}

#[tokio::test]
async fn p8_in_a_total_outage_retries_add_a_tenth_to_the_calls_of_all_kinds_together() {
    let stage = stage().await;
    stage.model.answer(|_| failing(503, &[]));
    for _ in 0..N_TURNS {
        let turns = KINDS.map(|(flow, _, streaming)| ask(&stage, flow, streaming));
        for reply in futures::future::join_all(turns).await {
            reply.expect_error(502);
        }
    }
    let received = stage.model.take_received();
    let n_turns = N_TURNS * KINDS.len();
    let n_calls = received.len();
    assert!(n_calls <= n_turns + n_turns / 10 + FLOOR, "{n_calls} calls of {n_turns} turns");
    assert!(n_calls > n_turns, "nothing was retried");
    for (_, path, _) in KINDS {
        let n_of_path = received.iter().filter(|request| request.path == path).count();
        assert!(n_of_path >= N_TURNS, "{path} was asked {n_of_path} times");
    }
}

#[tokio::test]
async fn p8_a_call_is_made_three_times_at_most_and_the_last_may_answer() {
    for (flow, path, streaming) in KINDS {
        let stage = stage().await;
        stage.model.answer(|_| failing(503, &[("retry-after", "0")]));
        let (reply, calls) = calls_of(&stage, flow, streaming).await;
        reply.expect_error(502);
        assert_eq!(calls, [path; 3], "{flow}");
    }
    let stage = stage().await;
    let n_calls = std::sync::atomic::AtomicUsize::new(0);
    stage.model.answer(move |_| match n_calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 | 1 => failing(429, &[("retry-after", "0")]),
        _ => Answer::Say(words("At last.")),
    });
    let (reply, calls) = calls_of(&stage, "b-conversation", true).await;
    assert_eq!(crate::support::sse::text(&reply.expect(200).events()), "At last.");
    assert_eq!(calls.len(), 3);
}

#[tokio::test]
async fn p8_a_refusal_is_not_asked_for_again() {
    let stage = stage().await;
    for (flow, path, streaming) in KINDS {
        for status in [400, 401, 403, 404, 422] {
            stage.model.answer(move |_| failing(status, &[("retry-after", "0")]));
            let (reply, calls) = calls_of(&stage, flow, streaming).await;
            reply.expect_error(502);
            assert_eq!(calls, [path], "{flow}, {status}");
        }
    }
}

#[tokio::test]
async fn p8_a_long_pause_is_told_to_the_caller_instead_of_waited_for() {
    let stage = stage().await;
    for (flow, path, streaming) in KINDS {
        for (status, ours) in [(429, 429), (503, 502)] {
            stage.model.answer(move |_| failing(status, &[("retry-after", "11")]));
            let (reply, calls) = calls_of(&stage, flow, streaming).await;
            reply.expect_error(ours);
            assert_eq!(reply.header("retry-after"), Some("11"), "{flow}");
            assert_eq!(calls, [path], "{flow}, {status}");
        }
    }
}

#[tokio::test]
async fn p8_nothing_is_asked_again_once_an_answer_has_begun() {
    let stage = stage().await;
    let beginnings: [Answer; 3] = [
        Answer::BreakOff(words("half an answer ")),
        Answer::BreakOff(Vec::new()),
        Answer::Nonsense,
    ];
    for answer in beginnings {
        for (flow, path, streaming) in KINDS {
            let own = answer.clone();
            stage.model.answer(move |_| own.clone());
            let (_, calls) = calls_of(&stage, flow, streaming).await;
            assert_eq!(calls, [path], "{flow}: {answer:?}");
        }
    }
}
