//! Tables of PostgreSQL that Flowise made, read and written as they are, and
//! what a server that refuses is said to have refused.

use std::time::Duration;

use parlor_nodes::NodeError;
use parlor_nodes::retrieval::VectorQuery;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::eventually;
use crate::support::nodes::{build, record_manager, turn, vector_store};
use crate::support::postgres::Postgres;
use crate::vector_stores::{Stage, chunk, near};

/// The table of Flowise 2.2.8's driver but for its default of the ids, which
/// needs an extension that this server lacks.
const FLOWISE_TABLE: &str = r#"
    CREATE EXTENSION vector;
    CREATE TABLE documents (
        "id" uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
        "pageContent" text, metadata jsonb, embedding vector
    );
    INSERT INTO documents ("pageContent", metadata, embedding) VALUES
        ('on x', '{"loc": {"lines": {"from": 1, "to": 2}}, "source": "a.txt"}', '[1,0,0]'),
        ('on y', '{"source": "b.txt", "tags": ["new", "red"], "year": 2024}', '[0,1,0]'),
        ('of a chat', '{"source": "a.txt", "flowise_chatId": "someone"}', '[1,0,0]'),
        (NULL, '{"source": "a.txt"}', '[1,0,0]'),
        ('no vector', '{"source": "a.txt"}', NULL);
"#;

#[tokio::test]
async fn a_table_of_flowise_answers_as_it_did() {
    let server = Postgres::start();
    server.sql(FLOWISE_TABLE);
    let stage = Stage::postgres(&server, &json!({}));

    let hits = stage.search(near(&[1.0, 0.0, 0.0])).await;
    // What belongs to a chat is for that chat only, with file uploads or without.
    let texts: Vec<_> = hits.iter().map(|hit| hit.document.page_content.as_str()).collect();
    assert_eq!(texts, ["on x", "on y"]);
    assert_eq!(
        Value::Object(hits[0].document.metadata.clone()),
        json!({"loc": {"lines": {"from": 1, "to": 2}}, "source": "a.txt"})
    );
    assert_ne!(hits[0].id, Uuid::nil());

    for (filter, expected) in [
        (json!({}), vec!["on x", "on y"]),
        (json!({"source": "b.txt"}), vec!["on y"]),
        (json!({"loc": {"lines": {"from": 1}}}), vec!["on x"]),
        (json!({"year": 2024, "source": "b.txt"}), vec!["on y"]),
        (json!({"year": "2024"}), vec![]),
        (json!({"source": {"in": ["a.txt", "c.txt"]}}), vec!["on x"]),
        (json!({"source": {"notIn": ["a.txt"]}}), vec!["on y"]),
        (json!({"year": {"in": [2023, 2024]}}), vec!["on y"]),
        (json!({"tags": {"arrayContains": ["red", "blue"]}}), vec!["on y"]),
        (json!({"tags": {"arrayContains": ["blue"]}}), vec![]),
        (json!({"flowise_chatId": "someone"}), vec![]),
        (json!({"a' OR true --": {"in": ["x"]}}), vec![]),
    ] {
        let query = VectorQuery { filter: Some(&filter), ..near(&[1.0, 0.0, 0.0]) };
        assert_eq!(stage.texts(query).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn what_is_written_is_what_flowise_reads() {
    let server = Postgres::start();
    let stage = Stage::postgres(&server, &json!({}));
    let metadata = json!({"source": "a\0b", "loc": {"lines": {"from": 1, "to": 2}}});

    stage.upsert(vec![chunk(7, [0.25, 1e-9, -2.0], "a\0 text", &metadata)], Vec::new()).await;

    // The question of Flowise's driver, word for word in what it names.
    let rows = server.sql(
        r#"SELECT "id", "pageContent", metadata ->> 'source', metadata #>> '{loc,lines,to}', embedding
           FROM documents WHERE ((metadata @> '{}') AND NOT (metadata ? 'flowise_chatId'))
           ORDER BY embedding <=> '[1,0,0]' LIMIT 4"#,
    );
    assert_eq!(rows, ["00000000-0000-0000-0000-000000000007|a text|ab|2|[0.25,1e-09,-2]"]);
    // Flowise lets the table give ids.
    server.sql(r#"INSERT INTO documents ("pageContent", metadata, embedding) VALUES ('b', '{}', '[1,1,1]')"#);
    assert_eq!(stage.search(near(&[1.0, 0.0, 0.0])).await.len(), 2);
}

#[tokio::test]
async fn an_upsert_is_seen_as_a_whole_or_not_at_all() {
    let server = Postgres::start();
    let stage = Stage::postgres(&server, &json!({}));
    stage.upsert(vec![chunk(1, [1.0, 0.0, 0.0], "old", &json!({}))], Vec::new()).await;
    let new = || vec![chunk(2, [1.0, 0.0, 0.0], "new", &json!({}))];

    let mut writer = stage.index.writer(3, &stage.ctx).await.unwrap();
    assert!(writer.is_atomic());
    writer.put(new(), &stage.ctx).await.unwrap();
    assert_eq!(stage.texts(near(&[1.0, 0.0, 0.0])).await, ["old"]);
    drop(writer);
    assert_eq!(stage.texts(near(&[1.0, 0.0, 0.0])).await, ["old"]);

    // One statement of it fails: nothing of it stays, and the next one works.
    let mut writer = stage.index.writer(3, &stage.ctx).await.unwrap();
    writer.put(new(), &stage.ctx).await.unwrap();
    let mut wrong = new();
    wrong[0].vector = Vec::new();
    let refused = writer.put(wrong, &stage.ctx).await.unwrap_err().to_string();
    assert!(refused.starts_with("PostgreSQL answered with the error"), "{refused}");
    let undone = writer.commit(Vec::new(), &stage.ctx).await.unwrap_err().to_string();
    assert_eq!(undone, "PostgreSQL undid the transaction, since a part of it failed");
    assert_eq!(stage.texts(near(&[1.0, 0.0, 0.0])).await, ["old"]);

    stage.upsert(new(), vec![Uuid::from_u128(1)]).await;
    assert_eq!(stage.texts(near(&[1.0, 0.0, 0.0])).await, ["new"]);
}

#[tokio::test]
async fn a_typed_content_column_is_used_where_the_table_has_it() {
    let server = Postgres::start();
    server.sql(FLOWISE_TABLE);
    server.sql(
        r#"CREATE TABLE texts (id uuid PRIMARY KEY, text text, metadata jsonb, embedding vector(3));
           INSERT INTO texts VALUES (gen_random_uuid(), 'its text', '{}', '[1,0,0]');"#,
    );
    let typed = json!({"contentColumnName": "text", "tableName": "Texts"});
    let other = Stage::postgres(&server, &typed);
    assert_eq!(other.texts(near(&[1.0, 0.0, 0.0])).await, ["its text"]);
    other.upsert(vec![chunk(1, [0.0, 1.0, 0.0], "ours", &json!({}))], Vec::new()).await;
    assert_eq!(server.sql("SELECT text FROM texts ORDER BY text"), ["its text", "ours"]);
    // The column says its dimension before there is any row.
    server.sql("DELETE FROM texts");
    let refused = other.index.writer(4, &other.ctx).await.err().unwrap().to_string();
    assert!(refused.contains("of 3 dimensions"), "{refused}");

    let flowises = Stage::postgres(&server, &json!({"contentColumnName": "text"}));
    assert_eq!(flowises.texts(near(&[1.0, 0.0, 0.0])).await, ["on x", "on y"]);
}

#[tokio::test]
async fn a_server_that_refuses_is_named_without_a_secret() {
    let server = Postgres::start();
    let inputs =
        |database: &str| json!({"host": "127.0.0.1", "port": server.port(), "database": database});
    let right = json!({"user": "postgres", "password": Postgres::PASSWORD});
    let tls = json!({"host": "127.0.0.1", "port": server.port(), "database": "x", "ssl": true});
    server.sql(FLOWISE_TABLE);
    server.sql("CREATE USER guest PASSWORD 'guest-password'");
    let guest = json!({"user": "guest", "password": "guest-password"});
    for (inputs, secrets, expected) in [
        (
            inputs("postgres"),
            json!({"user": "postgres", "password": "hunter2-wrong"}),
            "refused the user or password",
        ),
        (
            inputs("postgres"),
            json!({"user": "nobody-known", "password": "hunter2-wrong"}),
            "refused the user or password",
        ),
        (inputs("postgres"), json!({"user": "postgres"}), "asks for a password"),
        (inputs("nowhere"), right.clone(), "has no database named \"nowhere\""),
        (tls, right.clone(), "could not be reached over TLS"),
        (inputs("postgres"), guest, "does not let its user do that"),
    ] {
        let index = vector_store("postgres", &inputs, &secrets).index.clone();
        let ctx = turn(None);
        let refused = index.query(&near(&[1.0]), &ctx).await.unwrap_err();
        assert!(matches!(refused, NodeError::UpstreamBroken { .. }), "{refused}");
        let words = refused.to_string();
        assert!(words.contains(expected), "{words}");
        assert!(!words.contains("hunter2") && !words.contains(Postgres::PASSWORD), "{words}");
        assert!(!index.identity(&ctx).contains("hunter2"));
    }
    let bad = json!({"host": "h", "database": "d", "tableName": "x; DROP TABLE y"});
    let refused = build("postgres", &bad, &right).err().unwrap().to_string();
    assert!(
        refused.contains("tableName may hold letters, digits and underscores only"),
        "{refused}"
    );
}

#[tokio::test]
async fn ten_searches_at_once_share_a_few_connections_and_survive_a_lost_one() {
    let server = Postgres::start();
    server.sql(FLOWISE_TABLE);
    let stage = Stage::postgres(&server, &json!({}));
    let vector = [1.0, 0.0, 0.0];

    let searches = (0..30).map(|_| stage.search(near(&vector)));
    let found = futures::future::join_all(searches).await;
    assert!(found.iter().all(|hits| hits.len() == 2));
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parlor'";
    let n_open: usize = server.sql(count)[0].parse().unwrap();
    assert!((1..=8).contains(&n_open), "{n_open}");

    server.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'parlor'");
    // A connection knows of its end when its task has run.
    let answers_again = eventually(Duration::from_secs(20), || async {
        let hits = stage.index.query(&near(&vector), &stage.ctx).await;
        hits.is_ok_and(|hits| hits.len() == 2)
    });
    assert!(answers_again.await);
}

#[tokio::test]
async fn upserts_wait_for_each_other_and_leave_room_for_questions() {
    let server = Postgres::start();
    let stage = Stage::postgres(&server, &json!({}));
    stage.upsert(Vec::new(), Vec::new()).await;

    // Each holds its connection and asks on another, ten at once.
    let upserts = (0..10).map(|n| {
        let stage = &stage;
        async move {
            let mut writer = stage.index.writer(3, &stage.ctx).await.unwrap();
            let chunk = chunk(n, [1.0, 0.0, 0.0], "one", &json!({}));
            assert!(stage.known(&[chunk.id]).await.is_empty());
            writer.put(vec![chunk], &stage.ctx).await.unwrap();
            writer.commit(Vec::new(), &stage.ctx).await.unwrap();
        }
    });
    futures::future::join_all(upserts).await;

    assert_eq!(server.sql("SELECT count(*) FROM documents"), ["10"]);
}

/// The table of Flowise 2.2.8, with a record of hers.
const FLOWISE_RECORDS: &str = r#"
    CREATE TABLE "upsertion_records" (
        uuid UUID PRIMARY KEY DEFAULT gen_random_uuid(), key TEXT NOT NULL, namespace TEXT NOT NULL,
        updated_at Double PRECISION NOT NULL, group_id TEXT, UNIQUE (key, namespace)
    );
    INSERT INTO upsertion_records (key, namespace, updated_at, group_id) VALUES
        ('00000000-0000-0000-0000-000000000001', 'flow_documents', 1700000000.5, 'a.txt'),
        ('00000000-0000-0000-0000-000000000002', 'flow_documents', 1700000000.5, 'b.txt'),
        ('00000000-0000-0000-0000-000000000001', 'other', 1700000000.5, 'a.txt'),
        ('no uuid', 'flow_documents', 1.0, NULL);
"#;

#[tokio::test]
async fn records_of_flowise_are_read_and_written_as_they_are() {
    let server = Postgres::start();
    server.sql(FLOWISE_RECORDS);
    let inputs = json!({
        "host": "127.0.0.1", "port": server.port(), "database": "postgres",
        "namespace": "flow", "cleanup": "incremental",
    });
    let secrets = json!({"user": "postgres", "password": Postgres::PASSWORD});
    let records = record_manager("postgresRecordManager", &inputs, &secrets);
    let (ctx, space) = (turn(None), "flow_documents");
    let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
    let sources = ["a.txt".to_owned()];

    assert_eq!(records.policy().namespace.as_deref(), Some("flow"));
    assert_eq!(records.policy().source_id_key, "source");
    assert_eq!(records.exist(space, &[three, one, two], &ctx).await.unwrap(), [false, true, true]);
    assert_eq!(records.exist("nowhere", &[one], &ctx).await.unwrap(), [false]);

    let started = records.now(&ctx).await.unwrap();
    assert!(started > 1_700_000_000.0 && started < 1e10, "{started} are no seconds");
    let seen = [(one, None), (three, Some("a.txt".to_owned())), (three, Some("a.txt".to_owned()))];
    records.update(space, &seen, started, &ctx).await.unwrap();

    let rows = "SELECT right(key, 1), namespace, updated_at > 1700000001, group_id \
                FROM upsertion_records WHERE key <> 'no uuid' ORDER BY namespace, key";
    let expected = [
        "1|flow_documents|t|a.txt",
        "2|flow_documents|f|b.txt",
        "3|flow_documents|t|a.txt",
        "1|other|f|a.txt",
    ];
    assert_eq!(server.sql(rows), expected);
    let mut all = records.list(space, Some(&sources), &ctx).await.unwrap();
    all.sort();
    assert_eq!(all, [one, three]);
    records.delete(space, &[one, two], &ctx).await.unwrap();
    assert_eq!(records.list(space, None, &ctx).await.unwrap(), [three]);
    assert_eq!(records.list("other", None, &ctx).await.unwrap(), [one]);
}

#[tokio::test]
async fn a_table_of_records_that_is_not_there_is_empty_until_it_is_written() {
    let server = Postgres::start();
    let inputs = json!({
        "host": "127.0.0.1", "port": server.port(), "database": "postgres", "tableName": "My Records",
    });
    let secrets = json!({"user": "postgres", "password": Postgres::PASSWORD});
    let records = record_manager("postgresRecordManager", &inputs, &secrets);
    let (ctx, key) = (turn(None), Uuid::from_u128(1));

    assert_eq!(records.exist("n", &[key], &ctx).await.unwrap(), [false]);
    assert_eq!(records.list("n", None, &ctx).await.unwrap(), Vec::<Uuid>::new());
    records.delete("n", &[key], &ctx).await.unwrap();

    let seen = [(key, Some("s".to_owned()))];
    let both = [1, 2].map(|_| records.update("n", &seen, 5.0, &ctx));
    for done in futures::future::join_all(both).await {
        done.unwrap();
    }
    assert_eq!(server.sql("SELECT namespace, updated_at, group_id FROM my_records"), ["n|5|s"]);
}
