//! The life of a key: made, verified, narrowed, rotated, expired.

use serde_json::{Value, json};

use crate::replay::assert_same_answer;
use crate::support::{Caller, Parlor, Scripted, golden};

const KEYS: &str = "/api/v1/apikey";

/// The row of a key by its id.
fn row<'r>(rows: &'r Value, id: &str) -> &'r Value {
    let mut rows = rows.as_array().expect("the whole list of keys").iter();
    rows.find(|row| row["id"] == id).expect("the key is listed")
}

async fn change(server: &Parlor, id: &str, body: &Value) -> Value {
    let rows = server.operator().put(&format!("{KEYS}/{id}"), body).await.expect(200).json();
    row(&rows, id).clone()
}

async fn rotate(server: &Parlor, id: &str, body: &Value) -> (String, Value) {
    let path = format!("{KEYS}/{id}/rotate");
    let rows = server.operator().post(&path, body).await.expect(200).json();
    let row = row(&rows, id).clone();
    (row["apiKey"].as_str().expect("the new secret").to_owned(), row)
}

async fn status(caller: Caller, path: &str) -> u16 {
    caller.get(path).await.status
}

#[tokio::test]
async fn a_key_is_verified_as_recorded() {
    let server = Parlor::start();
    let (id, key) = server.api_key("k").await;
    let reply = server.anyone().get(&format!("/api/v1/verify/apikey/{key}")).await;
    assert_same_answer(&golden::load("auth-verify"), &reply);
    let wrong = golden::load("verify-apikey-wrong");
    assert_same_answer(&wrong, &server.anyone().get(&wrong.path).await);
    for other in [&key[..42], &format!("{key}x"), "%00", "%2F..%2F", &"a".repeat(4000), &id] {
        let reply = server.anyone().get(&format!("/api/v1/verify/apikey/{other}")).await;
        assert_eq!(reply.expect_error(401), "Unauthorized", "{other}");
    }
    assert!(!server.log().contains(&key), "the log shows a key");
}

#[tokio::test]
async fn the_list_and_the_making_of_keys_are_refused_as_recorded() {
    let server = Parlor::start();
    let listed = golden::load("apikey-list-nokey");
    server.anyone().get(&listed.path).await.assert_turned_away("no key");
    let noname = golden::load("apikey-create-noname").response().status;
    for body in [json!({}), json!({"keyName": ""}), json!({"keyName": null})] {
        let message = server.operator().post(KEYS, &body).await.expect_error(noname);
        assert!(message.contains("keyName not provided!"), "{message}");
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_at_once_everywhere() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_llm_chain(&model.basepath()).await;
    let (id, key) = server.api_key("guest").await;
    let path = format!("/api/v1/chatflows/{flow}");
    server.operator().put(&path, &json!({"apikeyid": id})).await.expect(200);
    let row = change(&server, &id, &json!({"expiresInDays": 1})).await;
    assert!(row["expiresAt"].as_str().unwrap().ends_with('Z'), "{row}");
    let prediction = format!("/api/v1/prediction/{flow}");
    let ask = || async {
        let body = json!({"question": "hi"});
        server.anyone().bearer(&key).post(&prediction, &body).await.status
    };
    let verify = format!("/api/v1/verify/apikey/{key}");
    assert_eq!((ask().await, status(server.anyone(), &verify).await), (200, 200));
    change(&server, &id, &json!({"expiresAt": "2020-01-01T00:00:00Z"})).await;
    assert_eq!((ask().await, status(server.anyone(), &verify).await), (401, 401));
    assert_eq!(status(server.anyone().bearer(&key), "/api/v1/chatflows").await, 401);
    assert_eq!(status(server.anyone(), &format!("/api/v1/chatflows/apikey/{key}")).await, 401);
    let row = change(&server, &id, &json!({"expiresAt": null})).await;
    assert_eq!((ask().await, &row["expiresAt"]), (200, &Value::Null));
}

#[tokio::test]
async fn a_key_with_wrong_fields_is_not_made() {
    let server = Parlor::start();
    for field in [
        json!({"expiresAt": "2020-01-01"}),
        json!({"expiresAt": "soon"}),
        json!({"expiresInDays": -1}),
        json!({"expiresAt": "2999-01-01", "expiresInDays": 1}),
        json!({"rateLimit": {"limitMax": 0, "limitDuration": 1}}),
        json!({"rateLimit": "often"}),
        json!({"scopes": ["root"]}),
        json!({"scopes": []}),
    ] {
        let mut body = field.clone();
        body["keyName"] = json!("x");
        server.operator().post(KEYS, &body).await.expect_error(400);
    }
    assert_eq!(server.operator().get(KEYS).await.json(), json!([]), "a refused key was stored");
    // What is no field of a key is left alone.
    let planted = json!({"keyName": "x", "id": "0".repeat(32), "digest": "0".repeat(64)});
    let rows = server.operator().post(KEYS, &planted).await.expect(200).json();
    assert_ne!(rows[0]["id"], planted["id"]);
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_until_the_overlap_ends() {
    let server = Parlor::start();
    let (id, first) = server.api_key("k").await;
    let (second, row) = rotate(&server, &id, &json!({})).await;
    assert!(row["previousKeyValidUntil"].is_string(), "{row}");
    for key in [&first, &second] {
        assert_eq!(status(server.anyone().bearer(key), "/api/v1/chatflows").await, 200);
    }
    let (third, row) = rotate(&server, &id, &json!({"overlapSeconds": 0})).await;
    assert_eq!(row["previousKeyValidUntil"], Value::Null);
    for dead in [&first, &second] {
        assert_eq!(status(server.anyone().bearer(dead), "/api/v1/chatflows").await, 401);
    }
    assert_eq!(status(server.anyone().bearer(&third), "/api/v1/chatflows").await, 200);
    let listed = server.operator().get(KEYS).await.body;
    assert!(![&first, &second, &third].iter().any(|key| listed.contains(*key)), "{listed}");
    let path = format!("{KEYS}/{id}/rotate");
    for bad in [-1, 2_592_001] {
        server.operator().post(&path, &json!({"overlapSeconds": bad})).await.expect_error(400);
    }
    let unknown = format!("{KEYS}/{}/rotate", "0".repeat(32));
    server.operator().post(&unknown, &json!({})).await.expect_error(404);
    change(&server, &id, &json!({"expiresAt": "2020-01-01"})).await;
    server.operator().post(&path, &json!({})).await.expect_error(409);
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_no_more() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_llm_chain(&model.basepath()).await;
    let (id, key) = server.api_key("k").await;
    let path = format!("/api/v1/chatflows/{flow}");
    server.operator().put(&path, &json!({"apikeyid": id})).await.expect(200);
    let caller = server.anyone().bearer(&key);
    let messages = format!("/api/v1/chatmessage/{flow}");
    for (scopes, opened) in [
        (json!(["predict"]), [200, 401, 401]),
        (json!(["messages"]), [401, 200, 401]),
        (json!(["upsert"]), [401, 401, 401]),
        (json!(["operator"]), [200, 200, 200]),
    ] {
        let row = change(&server, &id, &json!({"scopes": scopes})).await;
        assert_eq!(row["scopes"], scopes);
        let body = json!({"question": "hi"});
        let asked = caller.post(&format!("/api/v1/prediction/{flow}"), &body).await.status;
        let read = caller.get(&messages).await.status;
        let listed = caller.get("/api/v1/variables").await.status;
        assert_eq!([asked, read, listed], opened, "{scopes}");
    }
}

#[tokio::test]
async fn a_key_of_the_operator_shows_its_chatflows_by_name_and_the_open_ones() {
    let server = Parlor::start();
    let (id, key) = server.api_key("mine").await;
    let (other_id, _) = server.api_key("other").await;
    for (name, guard) in [("c", Some(&id)), ("b", None), ("a", Some(&other_id)), ("d", Some(&id))] {
        let flow_data = "{\"nodes\":[],\"edges\":[]}";
        let row = json!({"name": name, "flowData": flow_data, "apikeyid": guard});
        server.install_row(&row).await;
    }
    let names = |reply: crate::support::Reply| -> Vec<String> {
        let rows = reply.expect(200).json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let path = format!("/api/v1/chatflows/apikey/{key}");
    assert_eq!(names(server.anyone().get(&path).await), ["b", "c", "d"]);
    assert_eq!(names(server.anyone().get(&format!("{path}?keyonly=true")).await), ["c", "d"]);
    let rows = server.anyone().get(&path).await.json();
    assert!(rows[0]["flowData"].is_string() && rows[0]["id"].is_string(), "{rows}");
    change(&server, &id, &json!({"scopes": ["predict", "upsert", "messages"]})).await;
    server.anyone().get(&path).await.expect_error(401);
    let unknown = server.anyone().get("/api/v1/chatflows/apikey/nope").await;
    assert_eq!(unknown.expect_error(401), "Unauthorized");
    let (_, lonely) = server.api_key("lonely").await;
    let path = format!("/api/v1/chatflows/apikey/{lonely}?keyonly");
    server.anyone().get(&path).await.expect_error(404);
}

#[tokio::test]
async fn the_command_line_makes_narrow_keys_and_rotates_them() {
    let server = Parlor::start();
    let made = ["keys", "create", "--name", "cli", "--scopes", "predict,messages", "--json"];
    let output = server.command(&[&made[..], &["--expires-in-days", "30"]].concat());
    assert!(output.status.success(), "{output:?}");
    let row: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    assert_eq!(row["scopes"], json!(["predict", "messages"]));
    assert!(row["expiresAt"].is_string(), "{row}");
    let (id, first) = (row["id"].as_str().unwrap(), row["apiKey"].as_str().unwrap());
    let output = server.command(&["keys", "rotate", id, "--overlap-seconds", "0"]);
    assert!(output.status.success(), "{output:?}");
    let second = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let verify = |key: &str| format!("/api/v1/verify/apikey/{key}");
    assert_eq!(status(server.anyone(), &verify(first)).await, 401);
    assert_eq!(status(server.anyone(), &verify(&second)).await, 200);
    let listed = String::from_utf8(server.command(&["keys", "list"]).stdout).unwrap();
    assert!(listed.contains("until ") && !listed.contains(&second), "{listed}");
    let file = server.folder().path().join("api.json");
    std::fs::write(&file, r#"[{"keyName": "old", "apiKey": "a-key-of-flowise"}]"#).unwrap();
    let output = server.command(&["keys", "import", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(status(server.anyone(), &verify("a-key-of-flowise")).await, 200);
    assert!(server.command(&["keys", "revoke", id]).status.success());
    assert_eq!(status(server.anyone(), &verify(&second)).await, 401);
}
