//! What a node is made of; its table is tested against a real server.

use serde_json::{Map, json};

use super::*;
use crate::inputs::Secrets;
use crate::test_support::{inputs, json as value};

fn node(typed: Value, from_environment: bool) -> Result<Instance, NodeError> {
    let mut inputs = inputs([]);
    for (name, typed) in typed.as_object().unwrap() {
        inputs.values.insert(name.clone(), value(typed.clone()));
    }
    let fields = json!({"user": "me", "password": "hunter22"});
    let fields: Map<_, _> = fields.as_object().unwrap().clone();
    inputs.secrets = Some(Ok(Secrets { fields, from_environment }));
    build(&inputs)
}

fn refused(typed: Value, from_environment: bool) -> String {
    match node(typed, from_environment) {
        Ok(_) => panic!("it was built"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (typed, expected) in [
        (json!({"database": "d"}), "host is empty; fill it in, or set POSTGRES_VECTORSTORE_HOST"),
        (json!({"host": "h"}), "database is empty"),
        (json!({"host": "h", "database": "d", "port": 70_000}), "port must be a number"),
        (json!({"host": "h", "database": "d", "ssl": "maybe"}), "ssl must be true or false"),
        (
            json!({"host": "h", "database": "d", "distanceStrategy": "hamming"}),
            "distanceStrategy must be cosine",
        ),
        (json!({"host": "h", "database": "d", "tableName": "a.b"}), "tableName may hold"),
        (json!({"host": "h", "database": "d", "contentColumnName": "a\nb"}), "contentColumnName"),
    ] {
        let words = refused(typed, false);
        assert!(words.contains(expected), "{words}");
        assert!(!words.contains("hunter22"));
    }
}

#[test]
fn a_password_of_the_environment_is_not_sent_where_a_flow_points() {
    let typed = || json!({"host": "evil.example", "database": "d"});

    let words = refused(typed(), true);
    assert!(words.contains("needs a PostgresApi credential of its own"), "{words}");

    // With a credential of its own only its embeddings are missing.
    let words = refused(typed(), false);
    assert!(words.contains("embeddings is not connected"), "{words}");
}
