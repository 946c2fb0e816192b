//! Keys of a Flowise installation go on working.

use base64::Engine;
use serde_json::{Value, json};

use crate::support::{Parlor, Reply, Scripted};

const IMPORT: &str = "/api/v1/apikey/import";
const ID: &str = "0123456789abcdef0123456789abcdef";

/// A key of the older form, with the characters that a path has to escape.
const PLAIN: &str = "v/h19X+keyOfATest0000000000000000000000000=";

/// A key, and Flowise's scrypt hash of it.
const HASHED: &str = "importedKeyOfATest00000000000000000000000_-";
const HASH: &str = "563843549c89e2fb2d6aa6aadff7fcd05867607694826b72472fb407ce806e4646add1f512ba7527eb5fd8c80c3d11ceafe261fefa65483f6f4a34d7743ca896.00112233aabbccdd";

/// A row of `api.json`.
fn row(name: &str, key: &str) -> Value {
    json!({"keyName": name, "apiKey": key, "apiSecret": HASH, "createdAt": "23-Nov-26", "id": ID})
}

async fn import(server: &Parlor, mode: &str, file: &Value) -> Reply {
    let file = base64::prelude::BASE64_STANDARD.encode(file.to_string());
    let body = json!({
        "jsonFile": format!("data:application/json;base64,{file}"), "importMode": mode});
    server.operator().post(IMPORT, &body).await
}

async fn opens(server: &Parlor, key: &str) -> bool {
    match server.anyone().bearer(key).get("/api/v1/chatflows").await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_imported_key_opens_the_chatflow_that_named_it() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_llm_chain(&model.basepath()).await;
    let path = format!("/api/v1/chatflows/{flow}");
    server.operator().put(&path, &json!({"apikeyid": ID})).await.expect(200);
    let prediction = format!("/api/v1/prediction/{flow}");
    let body = json!({"question": "hi"});
    let caller = server.anyone().bearer(PLAIN);
    caller.post(&prediction, &body).await.expect_error(401);
    let reply = import(&server, "errorIfExist", &json!([row("old", PLAIN)])).await.expect(200);
    assert!(!reply.body.contains(PLAIN), "an imported key is shown: {reply:?}");
    let rows = reply.json();
    assert_eq!((&rows[0]["id"], &rows[0]["keyName"]), (&json!(ID), &json!("old")));
    assert_eq!(rows[0]["createdAt"], "2026-11-23T00:00:00.000Z");
    caller.post(&prediction, &body).await.expect(200);
    let escaped = PLAIN.replace('/', "%2F").replace('+', "%2B");
    server.anyone().get(&format!("/api/v1/verify/apikey/{escaped}")).await.expect(200);
}

#[tokio::test]
async fn a_key_that_exists_is_treated_as_the_mode_says() {
    let server = Parlor::start();
    let (id, ours) = server.api_key("ours").await;
    let mut theirs = row("ours", "their-key-of-the-same-name");
    theirs.as_object_mut().unwrap().remove("id");
    let file = json!([theirs]);
    let message = import(&server, "errorIfExist", &file).await.expect_error(409);
    assert!(message.contains("ours"), "{message}");
    import(&server, "ignoreIfExist", &file).await.expect(200);
    assert!(opens(&server, &ours).await && !opens(&server, "their-key-of-the-same-name").await);
    let rows = import(&server, "overwriteIfExist", &file).await.expect(200).json();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["id"]), (1, &json!(id)));
    assert!(!opens(&server, &ours).await && opens(&server, "their-key-of-the-same-name").await);
    let rows = import(&server, "replaceAll", &json!([row("new", PLAIN)])).await.expect(200).json();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert!(!opens(&server, "their-key-of-the-same-name").await && opens(&server, PLAIN).await);
}

#[tokio::test]
async fn a_key_of_which_only_the_hash_is_known_opens_and_guesses_are_bounded() {
    let server = Parlor::start();
    let mut hashed = row("hashed", "");
    hashed["apiKey"] = Value::Null;
    import(&server, "replaceAll", &json!([hashed])).await.expect(200);
    // What has not the form of a key is not worth a check.
    for _ in 0..20 {
        server.anyone().bearer("wrong").get("/api/v1/chatflows").await.expect_error(401);
    }
    assert!(opens(&server, HASHED).await);
    assert!(opens(&server, HASHED).await);
    // Nothing is left to check slowly, so that guesses are refused at once.
    for _ in 0..20 {
        assert!(!opens(&server, &HASHED.replace('0', "1")).await);
    }
    hashed["id"] = Value::Null;
    hashed["keyName"] = json!("again");
    hashed["apiSecret"] = json!(HASH.replace("5638", "0000"));
    import(&server, "errorIfExist", &json!([hashed])).await.expect(200);
    let mut statuses = Vec::new();
    for n in 10..22 {
        let guess = HASHED.replace("00000000", &format!("000000{n}"));
        let reply = server.anyone().bearer(&guess).get("/api/v1/chatflows").await;
        if reply.status == 429 {
            assert!(reply.header("retry-after").is_some(), "{reply:?}");
        }
        statuses.push(reply.status);
    }
    assert_eq!((statuses[0], statuses[11]), (401, 429), "{statuses:?}");
    assert!(opens(&server, HASHED).await, "a known key waits for guesses");
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_and_changes_nothing() {
    let server = Parlor::start();
    let (_, ours) = server.api_key("ours").await;
    for file in [
        json!({}),
        json!(["text"]),
        json!([{"keyName": "x"}]),
        json!([{"apiKey": PLAIN}]),
        json!([{"keyName": "x", "apiKey": "abcdef..."}]),
        json!([{"keyName": "x", "apiKey": "two words"}]),
        json!([{"keyName": "x", "apiSecret": "no hash"}]),
        json!([{"keyName": "x", "apiKey": PLAIN, "id": "../../etc"}]),
        json!([row("x", "key-number-one"), row("y", "key-number-two")]),
    ] {
        let message = import(&server, "replaceAll", &file).await.expect_error(400);
        assert!(!message.contains(PLAIN), "{message}");
    }
    import(&server, "merge", &json!([])).await.expect_error(400);
    for body in [json!({}), json!({"jsonFile": "[]", "importMode": "replaceAll"})] {
        server.operator().post(IMPORT, &body).await.expect_error(400);
    }
    assert!(opens(&server, &ours).await);
}
