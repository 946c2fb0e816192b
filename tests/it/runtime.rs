//! What `GET /api/v1/runtime` shows the operator of a busy server.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Options, Parlor, Scripted, eventually};

const LIMIT: Duration = Duration::from_secs(60);

async fn runtime(server: &Parlor) -> Value {
    server.operator().get("/api/v1/runtime").await.expect(200).json()
}

#[tokio::test]
async fn an_idle_server_shows_its_limits_and_no_work() {
    let server = Parlor::start_with(Options::default().args(&["--threads", "3"]));
    let view = runtime(&server).await;
    assert_eq!(view["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(view["shards"], json!(vec![json!({"liveSessions": 0, "pending": 0}); 3]));
    assert_eq!(view["turns"], json!({"running": 0, "waiting": 0, "limit": 4096}));
    assert_eq!((&view["storeOpen"], &view["draining"]), (&json!(true), &json!(false)));
    assert_eq!(view["limits"]["bodyBytes"], 50 * 1024 * 1024);
    assert_eq!((&view["busiestSessions"], &view["upsertsByStore"]), (&json!([]), &json!([])));
    assert!(view["residentBytes"].as_u64().unwrap() > 1_000_000);
}

#[tokio::test]
async fn a_busy_server_names_its_busiest_sessions_to_the_operator_only() {
    let model = Scripted::start(|_| Answer::Hang).await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let path = format!("/api/v1/prediction/{flow}");
    let asked = ["quiet", "busy", "busy"].map(|chat| {
        let (caller, path) = (server.anyone(), path.clone());
        let body = json!({"question": "hush", "chatId": chat});
        tokio::spawn(async move { caller.post(&path, &body).await })
    });
    let session = |id, pending| json!({"chatflowId": flow, "sessionId": id, "pending": pending});
    let busiest = json!([session("busy", 2), session("quiet", 1)]);
    // Turns arrive one by one: only one and the same view can show all three.
    let view = Mutex::new(Value::Null);
    let at_work = || async {
        let now = runtime(&server).await;
        let turns = json!({"running": 2, "waiting": 1, "limit": 4096});
        let is_so =
            now["busiestSessions"] == busiest && now["unanswered"] == 3 && now["turns"] == turns;
        *view.lock().unwrap() = now;
        is_so
    };
    let is_so = eventually(LIMIT, at_work).await;
    let view = view.into_inner().unwrap();
    assert!(is_so, "{view}");
    assert!(!view.to_string().contains("hush"), "a question is shown: {view}");
    server.anyone().get("/api/v1/runtime").await.assert_turned_away("nobody");
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    let at_rest = || async {
        let view = runtime(&server).await;
        view["unanswered"] == 0 && view["busiestSessions"] == json!([])
    };
    assert!(eventually(LIMIT, at_rest).await, "{}", runtime(&server).await);
}

#[tokio::test]
async fn the_command_line_shows_the_same_and_needs_a_running_server() {
    let mut server = Parlor::start();
    let shown = server.command(&["top"]);
    assert!(shown.status.success(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("turns    0 running, 0 waiting, limit 4096"), "{text}");
    let told: Value = serde_json::from_slice(&server.command(&["top", "--json"]).stdout).unwrap();
    assert_eq!(told["turns"], runtime(&server).await["turns"]);
    server.terminate().await;
    let refused = server.command(&["top"]);
    assert!(!refused.status.success(), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("no server runs on this data folder"), "{why}");
}
