//! The files of `deploy/` in front of a running server: real balancers with
//! the configuration that operators copy. `deploy/check` looks at the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::balancer::{Balancer, Kind};
use crate::support::scripted::words;
use crate::support::{Answer, Caller, Flow, Options, Parlor, Scripted, eventually};

const BOTH: [Kind; 2] = [Kind::Nginx, Kind::Haproxy];
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn tokens_and_heartbeats_pass_a_balancer_while_the_model_is_still_thinking() {
    // After its tokens the model says nothing more: what a balancer kept back
    // to send it together with the rest would never come.
    let model = Scripted::start(|_| Answer::Stall(words("one two "))).await;
    let server = Parlor::start_with(Options::default().env("PARLOR_HEARTBEAT_S", "1"));
    let flow = server.install_conversation(&model.basepath()).await;
    for kind in BOTH {
        let balancer = Balancer::start(kind, &[&server]);
        let body = json!({"question": "q", "streaming": true, "sessionId": format!("{kind:?}")});
        let path = format!("/api/v1/prediction/{flow}");
        let mut response = balancer.anyone().open_post(&path, &body).await;
        let mut text = String::new();
        // A heartbeat may come before the tokens, too.
        while !text.contains("\"two \"}\n\n:heartbeat\n\n") {
            let piece = tokio::time::timeout(PATIENCE, response.chunk()).await;
            let piece = piece.unwrap_or_else(|_| panic!("{kind:?} keeps the rest of: {text}"));
            text.push_str(&String::from_utf8_lossy(&piece.unwrap().expect("the stream goes on")));
        }
        assert!(text.contains(r#"{"event":"token","data":"two "}"#), "{kind:?}: {text}");
    }
}

/// Two nodes that share nothing but the chatflow's id; each answers its name.
async fn two_nodes() -> ([(Parlor, Scripted); 2], String) {
    let id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let node = async |name: &str| {
        let (server, model) = (Parlor::start(), Scripted::saying(name).await);
        let credential = server.openai_credential().await;
        let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
        let mut row = flow.row("Conversation");
        row["id"] = json!(id);
        server.install_row(&row).await;
        (server, model)
    };
    ([node("first").await, node("second").await], id.to_owned())
}

/// Where callers put the session: nginx needs the header, HAProxy reads the
/// body where the server reads it.
const PLACES: [(Kind, &str); 5] = [
    (Kind::Nginx, "header"),
    (Kind::Haproxy, "header"),
    (Kind::Haproxy, "override"),
    (Kind::Haproxy, "session"),
    (Kind::Haproxy, "chat"),
];

fn asking(balancer: &Balancer, place: &str, session: &str) -> (Caller, Value) {
    let mut body = json!({"question": "Who are you?", "sessionId": session});
    match place {
        "header" => return (balancer.anyone().with("X-Session-Id", session), body),
        "override" => {
            // The server takes the override, so the balancer must, too.
            body["sessionId"] = json!("another");
            body["overrideConfig"] = json!({"sessionId": session});
        }
        "chat" => body = json!({"question": "Who are you?", "chatId": session}),
        _ => {}
    }
    (balancer.anyone(), body)
}

#[tokio::test]
async fn a_conversation_meets_the_same_one_of_several_nodes() {
    let ([(first, _one), (second, _two)], flow) = two_nodes().await;
    let path = format!("/api/v1/prediction/{flow}");
    for (kind, place) in PLACES {
        let balancer = Balancer::start(kind, &[&first, &second]);
        let mut met = BTreeSet::new();
        for n in 0..16 {
            let session = format!("{kind:?}-{place}-{n}");
            let mut answers = BTreeSet::new();
            for _ in 0..2 {
                let (caller, body) = asking(&balancer, place, &session);
                let reply = caller.post(&path, &body).await.expect(200).json();
                assert_eq!(reply["sessionId"], session.as_str(), "{kind:?}, {place}");
                answers.insert(reply["text"].as_str().unwrap().to_owned());
            }
            assert_eq!(answers.len(), 1, "{kind:?} sent {session} to both nodes");
            met.extend(answers);
        }
        assert_eq!(met.len(), 2, "{kind:?} does not look at the session in its {place}");
    }
}

#[tokio::test]
async fn a_client_behind_a_balancer_cannot_choose_the_address_it_is_counted_by() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start_with(Options::default().env("NUMBER_OF_PROXIES", "1"));
    for kind in BOTH {
        let flow = server.install_llm_chain(&model.basepath()).await;
        let limit =
            json!({"status": true, "limitMax": "2", "limitDuration": "3600", "limitMsg": "no"});
        let body = json!({"apiConfig": json!({"rateLimit": limit}).to_string()});
        server.operator().put(&format!("/api/v1/chatflows/{flow}"), &body).await.expect(200);
        let balancer = Balancer::start(kind, &[&server]);
        for (forged, status) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.3", 429)] {
            let caller = balancer.anyone().with("X-Forwarded-For", forged);
            let path = format!("/api/v1/prediction/{flow}");
            caller.post(&path, &json!({"question": "x"})).await.expect(status);
        }
    }
}

/// The program and the arguments of the health check in a file of `deploy/docker`.
fn health_check(file: &str, before: &str) -> Vec<String> {
    let path = format!("{}/deploy/docker/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("it is there");
    let line = text.lines().find_map(|line| line.trim().strip_prefix(before));
    serde_json::from_str(line.expect("a health check")).expect("a list of words")
}

#[tokio::test]
async fn the_health_check_of_the_container_tells_a_server_that_lives_from_one_that_does_not() {
    let words = health_check("Dockerfile", "CMD ");
    assert_eq!(health_check("compose.yaml", "test: ")[1..], words);
    assert_eq!(words[0], "/usr/local/bin/parlor");
    let mut server = Parlor::start_with(Options::default().args(&["--drain-grace-s", "300"]));
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_parlor"));
        // As in the image, and with a proxy as some are given by their hosts.
        command.env("HOST", "0.0.0.0").env("PORT", &port).env("HTTP_PROXY", "http://127.0.0.1:9");
        command.args(&words[1..]).output().expect("it can be run").status.code()
    };
    assert_eq!(check(), Some(0));
    server.send_sigterm();
    let caller = server.anyone();
    let is_draining = async || caller.get("/readyz").await.status == 503;
    assert!(eventually(PATIENCE, is_draining).await, "it stays ready");
    assert_eq!(check(), Some(0), "a server that stops is not to be ended");
    server.kill9();
    assert_eq!(check(), Some(1));
}
