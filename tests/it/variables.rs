//! Variables: stored as recorded, and what flows read of them.

use serde_json::{Value, json};

use crate::replay::assert_same_answer;
use crate::support::golden::Golden;
use crate::support::{Flow, Options, Parlor, Reply, Scripted, golden};

const PATH: &str = "/api/v1/variables";

fn body(exchange: &Golden) -> Value {
    serde_json::from_str(&exchange.body).expect("a recorded body")
}

async fn make(server: &Parlor, name: &str, value: &str, kind: &str) -> Reply {
    let body = json!({"name": name, "value": value, "type": kind});
    server.operator().post(PATH, &body).await
}

#[tokio::test]
async fn variables_are_made_listed_changed_and_deleted_as_recorded() {
    let server = Parlor::start();
    let operator = server.operator();
    let persona = make(&server, "persona", "a librarian", "static").await.expect(200).json();
    let runtime = golden::load("variables-create-runtime");
    let tenant = operator.post(PATH, &body(&runtime)).await;
    assert_same_answer(&runtime, &tenant);
    assert_same_answer(&golden::load("variables-list"), &operator.get(PATH).await);
    let duplicate = golden::load("variables-create-duplicate");
    assert_same_answer(&duplicate, &operator.post(PATH, &body(&duplicate)).await);
    let put = golden::load("variables-put");
    let path = format!("{PATH}/{}", persona["id"].as_str().unwrap());
    assert_same_answer(&put, &operator.put(&path, &body(&put)).await);
    let delete = golden::load("variables-delete");
    let path = format!("{PATH}/{}", tenant.json()["id"].as_str().unwrap());
    assert_same_answer(&delete, &operator.delete(&path).await);
    let gone = operator.delete(&path).await.expect(200).json();
    assert_eq!(gone, json!({"raw": [], "affected": 0}));
    assert_eq!(operator.get(PATH).await.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_variable_that_does_not_exist_is_not_found() {
    let server = Parlor::start();
    let missing = golden::load("variables-put-missing");
    let reply = server.operator().put(&missing.path, &body(&missing)).await;
    // Recorded as text; here as the error body that all errors have.
    assert_eq!(reply.expect_error(missing.response().status), missing.response().body.trim_end());
    let odd = format!("{PATH}/..%2F..%2Fx");
    server.operator().put(&odd, &json!({"name": "x"})).await.expect_error(404);
    server.operator().delete(&odd).await.expect_error(404);
}

#[tokio::test]
async fn a24_only_the_documented_fields_are_taken_and_each_has_its_type() {
    let server = Parlor::start();
    let operator = server.operator();
    for bad in [
        json!({}),
        json!([]),
        json!({"name": "", "value": "x"}),
        json!({"value": "x"}),
        json!({"name": "x", "value": 5}),
        json!({"name": ["x"]}),
        json!({"name": "x", "type": "secret"}),
        json!({"name": "x", "id": "no uuid"}),
        json!({"name": "x".repeat(201)}),
    ] {
        operator.post(PATH, &bad).await.expect_error(400);
    }
    let long = json!({"name": "x", "value": "a".repeat(2 << 20)});
    operator.post(PATH, &long).await.expect_error(413);
    assert_eq!(operator.get(PATH).await.json(), json!([]), "a refused variable was stored");
    let row = make(&server, "x", "first", "static").await.expect(200).json();
    let again = json!({"id": row["id"], "name": "x", "value": "second"});
    operator.post(PATH, &again).await.expect_error(409);
    let planted = json!({"value": "new", "id": "0", "createdDate": "2000-01-01T00:00:00.000Z"});
    let path = format!("{PATH}/{}", row["id"].as_str().unwrap());
    let changed = operator.put(&path, &planted).await.expect(200).json();
    for (field, value) in [("id", &row["id"]), ("createdDate", &row["createdDate"])] {
        assert_eq!(&changed[field], value, "{field}");
    }
    assert_eq!((&changed["name"], &changed["value"]), (&json!("x"), &json!("new")));
}

#[tokio::test]
async fn a16_flows_read_variables_and_of_the_environment_only_what_is_listed() {
    let model = Scripted::saying("Hello.").await;
    let options = Options::default()
        .env("PARLOR_RUNTIME_VARIABLES", "SHOWN")
        .env("SHOWN", "from outside")
        .env("HIDDEN", "do-not-show");
    let server = Parlor::start_with(options);
    let credential = server.openai_credential().await;
    let template = "{{$vars.city}}|{{$vars.SHOWN}}|{{$vars.HIDDEN}}|{{$vars.HOME}}|{question}";
    let flow = Flow::golden("a-llmchain").with_openai(&credential, &model.basepath()).with_input(
        "promptTemplate_0",
        "template",
        json!(template),
    );
    let flow = server.install("vars", &flow).await;
    let ask = || async {
        server.ask(&flow, &json!({"question": "q"})).await.expect(200);
        model.take_received()[0].messages().last().unwrap().1.clone()
    };
    // An unknown name stays as written, and two braces of a template are one.
    assert_eq!(ask().await, "{$vars.city}|{$vars.SHOWN}|{$vars.HIDDEN}|{$vars.HOME}|q");
    make(&server, "city", "Oslo", "static").await.expect(200);
    make(&server, "SHOWN", "", "runtime").await.expect(200);
    make(&server, "HIDDEN", "", "runtime").await.expect(200);
    assert_eq!(ask().await, "Oslo|from outside||{$vars.HOME}|q");
    make(&server, "city", "Bergen", "static").await.expect(200);
    assert!(ask().await.starts_with("Bergen|"), "the newest of one name is read");
}
