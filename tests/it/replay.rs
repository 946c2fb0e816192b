//! Plays recorded requests to Parlor and compares what comes back, and what
//! the model server got, with the recording.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::Value;

use crate::support::flows::OPENAI_KEY;
use crate::support::golden::{self, Golden};
use crate::support::scripted::Received;
use crate::support::shape::differences;
use crate::support::{Caller, Flow, Options, Parlor, Reply, Scripted, fixture_text, sse};

/// What the model of the recordings always said, one word a token.
pub const SENTENCE: &str =
    "The quick brown fox jumps over the lazy dog and then it sleeps all day long. ";

/// The recorded flows and the ids that they had.
pub const FLOWS: &[(&str, &str)] = &[
    ("a-llmchain", "b5b2c9a6-7858-4526-82fb-c1defcaa4e93"),
    ("b-conversation", "54d84c37-3f57-4c00-841d-17f95e783c4d"),
    ("c-retrievalqa", "da72ee43-d78f-484c-9296-b34a0dc09ee8"),
    ("d-toolagent", "fbb2ff37-ee0a-47aa-afb4-ac0ecc741a2b"),
    ("e-images", "4644ce74-73cc-46cb-be23-44104f2d03f6"),
    ("f-speech", "7f4c173f-8d90-4a50-9041-3ea9b63d3e26"),
    ("g-protected", "6c32e393-5c1f-43b2-98b5-cd230946cd68"),
    ("h-override", "566c1575-f405-4206-98e6-94966f4223fa"),
    ("i-override-off", "a896bb56-370a-4628-bfb5-95f070d1af50"),
    ("j-upsert", "a02b7bb7-0251-4663-a66c-f14b86166e29"),
    ("k-llmchain-nostream", "ce5bcd22-7603-4a73-83c7-1b0bc253cb3c"),
];

/// The secret of the LocalAI credential, as in the recordings.
pub const LOCAL_AI_KEY: &str = "sk-local";

/// Headers that the client makes anew for each request.
const OWN_HEADERS: [&str; 4] = ["host", "user-agent", "accept", "content-length"];

/// A server with the recorded flows, and the model that they were recorded with.
pub struct Stage {
    pub server: Parlor,
    pub model: Scripted,
    /// The key that opens flow g.
    pub key_of_flow_g: String,
    ids: HashMap<&'static str, String>,
}

/// What `flows/settings.json` says of a flow.
fn recorded_settings(name: &str) -> Value {
    let text = fixture_text("goldens/flows/settings.json");
    let settings: Value = serde_json::from_str(&text).expect("settings are JSON");
    settings.get(name).cloned().unwrap_or(Value::Null)
}

impl Stage {
    /// Everything set up as it was when the exchanges were recorded.
    pub async fn set() -> Self {
        Self::set_with(Options::default()).await
    }

    /// The same on a server with other options.
    pub async fn set_with(options: Options) -> Self {
        let server = Parlor::start_with(options);
        let model = Scripted::saying(SENTENCE).await;
        let credential = server.openai_credential().await;
        let (key_id, key_of_flow_g) = server.api_key("of flow g").await;
        let mut ids = HashMap::new();
        for &(name, recorded_id) in FLOWS {
            let flow = Flow::golden(name).with_openai(&credential, &model.basepath());
            let mut row = flow.row(name);
            if name == "g-protected" {
                row["apikeyid"] = Value::from(key_id.clone());
            }
            for setting in ["apiConfig", "chatbotConfig"] {
                if let Some(config) = recorded_settings(name).get(setting) {
                    row[setting] = Value::from(config.to_string());
                }
            }
            if name == "f-speech" {
                row["speechToText"] = Value::from(speech_to_text(&server, &model).await);
            }
            ids.insert(recorded_id, server.install_row(&row).await);
        }
        Self { server, model, key_of_flow_g, ids }
    }

    /// The id here of a flow by its file name.
    pub fn flow(&self, name: &str) -> &str {
        let (_, recorded_id) = FLOWS.iter().find(|(own, _)| *own == name).expect("a known flow");
        &self.ids[recorded_id]
    }

    /// Sends a recorded request as anyone.
    pub async fn send(&self, exchange: &Golden) -> Reply {
        self.send_as(self.server.anyone(), exchange).await
    }

    /// Sends a recorded request; who calls is the test's business, so a
    /// recorded key is left out.
    pub async fn send_as(&self, mut caller: Caller, exchange: &Golden) -> Reply {
        for (name, value) in &exchange.headers {
            if !OWN_HEADERS.contains(&name.as_str()) && name != "authorization" {
                caller = caller.with(name, value);
            }
        }
        let path = self
            .ids
            .iter()
            .fold(exchange.path.clone(), |path, (recorded, own)| path.replace(recorded, own));
        let method = Method::from_bytes(exchange.method.as_bytes()).expect("a method");
        let body = Some(exchange.body.clone()).filter(|body| !body.is_empty());
        caller.send(method, &path, body).await
    }

    /// Plays an exchange and compares everything that a client, or the model
    /// server, can see.
    pub async fn replay(&self, name: &str) {
        let exchange = golden::load(name);
        self.model.take_received();
        let reply = self.send(&exchange).await;
        assert_same_answer(&exchange, &reply);
        assert_same_upstream(name, &self.model.take_received());
    }
}

/// The setting of flow f, as recorded: a server of one's own.
async fn speech_to_text(server: &Parlor, model: &Scripted) -> String {
    let secret = serde_json::json!({"localAIApiKey": LOCAL_AI_KEY});
    let credential = server.credential("localAIApi", secret).await;
    serde_json::json!({"localAISTT": {
        "status": true, "credentialId": credential, "baseUrl": model.basepath(),
        "model": "whisper-1", "language": "en",
    }})
    .to_string()
}

/// Compares an answer with the recorded one: JSON by its keys, a stream by its
/// events.
pub fn assert_same_answer(exchange: &Golden, reply: &Reply) {
    let name = &exchange.name;
    let recorded = exchange.response();
    assert_eq!(reply.status, recorded.status, "{name}: {reply:?}");
    assert_eq!(reply.header("content-type"), recorded.header("content-type"), "{name}: {reply:?}");
    if recorded.media_type() == "text/event-stream" {
        assert_same_stream(exchange, reply);
    } else if recorded.media_type() != "application/json" {
        assert_eq!(reply.body, recorded.body.trim_end_matches('\n'), "{name}");
    } else {
        let found = differences(&recorded.json(), &reply.json());
        assert!(found.is_empty(), "{name}: {found:#?}\n{}", reply.body);
    }
}

fn assert_same_stream(exchange: &Golden, reply: &Reply) {
    let name = &exchange.name;
    for header in ["cache-control", "x-accel-buffering"] {
        assert_eq!(reply.header(header), exchange.response().header(header), "{name}: {header}");
    }
    let recorded = sse::parse(&exchange.response().body).expect("a recorded stream");
    let ours = reply.events();
    let names = |events: &[sse::Event]| events.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&recorded), "{name}: {ours:?}");
    for (then, now) in recorded.iter().zip(&ours) {
        let found = differences(&then.data, &now.data);
        assert!(found.is_empty(), "{name}: {}: {found:#?}", then.name);
    }
}

/// Compares what the model server got. How Parlor asks (streamed or not) is
/// its own choice; what it asks is not.
pub fn assert_same_upstream(name: &str, received: &[Received]) {
    let recorded = golden::upstream_bodies(name);
    assert_eq!(received.len(), recorded.len(), "{name}: calls upstream: {received:#?}");
    for (then, now) in recorded.into_iter().zip(received) {
        assert_eq!(now.path, "/v1/chat/completions", "{name}");
        let bearer = format!("Bearer {OPENAI_KEY}");
        assert_eq!(now.header("authorization"), Some(bearer.as_str()), "{name}");
        assert_eq!(what_is_asked(now.body.clone()), what_is_asked(then), "{name}");
    }
}

/// A body without what says how it is asked.
pub fn what_is_asked(mut body: Value) -> Value {
    let map = body.as_object_mut().expect("a body upstream");
    for key in ["stream", "stream_options", "n"] {
        map.remove(key);
    }
    body
}
