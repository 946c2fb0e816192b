use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use super::SPEC;
use crate::ctx::{Services, TurnCtx};
use crate::error::NodeError;
use crate::inputs::InputValue;
use crate::instance::Instance;
use crate::retrieval::{Cleanup, RecordManager};
use crate::test_support::{TestTurn, build, build_error, source};

struct Folder {
    client: reqwest::Client,
    file: PathBuf,
}

impl Services for Folder {
    fn http(&self) -> reqwest::Client {
        self.client.clone()
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        None
    }

    fn records_file(&self) -> Result<PathBuf, NodeError> {
        Ok(self.file.clone())
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("records.sqlite")
}

fn ctx(file: &Path) -> TurnCtx {
    let mut ctx = TestTurn::asking("q").ctx();
    ctx.services = Arc::new(Folder { client: ctx.services.http(), file: file.to_owned() });
    ctx
}

fn manager<const N: usize>(values: [(&str, InputValue); N]) -> Arc<dyn RecordManager> {
    match build(&SPEC, values) {
        Instance::RecordManager(records) => records,
        other => panic!("{} instead of a record manager", other.kind()),
    }
}

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

fn of(key: Uuid, source: &str) -> (Uuid, Option<String>) {
    (key, Some(source.to_owned()))
}

#[tokio::test]
async fn keys_are_noted_found_listed_and_forgotten_by_namespace() {
    let folder = TempDir::new().unwrap();
    let ctx = ctx(&file(&folder));
    let records = manager([]);

    records.update("one", &[of(A, "a.txt"), of(B, "b.txt")], 10.5, &ctx).await.unwrap();
    records.update("one", &[(B, None)], 20.5, &ctx).await.unwrap();
    records.update("two", &[(A, None)], 30.0, &ctx).await.unwrap();

    assert_eq!(
        records.exist("one", &[B, Uuid::nil(), A], &ctx).await.unwrap(),
        [true, false, true]
    );
    assert_eq!(records.list("one", None, &ctx).await.unwrap(), [A, B]);
    let sources = ["b.txt".to_owned(), "c.txt".to_owned()];
    assert_eq!(records.list("one", Some(&sources), &ctx).await.unwrap(), [B]);
    assert_eq!(records.list("one", Some(&[]), &ctx).await.unwrap().len(), 0);

    records.delete("one", &[A, B], &ctx).await.unwrap();
    assert_eq!(records.list("one", None, &ctx).await.unwrap().len(), 0);
    assert_eq!(records.list("two", None, &ctx).await.unwrap(), [A]);
}

#[tokio::test]
async fn a_table_that_flowise_filled_goes_on() {
    let folder = TempDir::new().unwrap();
    let connection = Connection::open(file(&folder)).unwrap();
    let theirs = "CREATE TABLE mine (uuid TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
        key TEXT NOT NULL, namespace TEXT NOT NULL, updated_at REAL NOT NULL, group_id TEXT,
        UNIQUE (key, namespace));
        INSERT INTO mine (key, namespace, updated_at) VALUES
        ('7da96e74-c43f-5a8c-8eeb-096f2ab7416b', 'flow_qdrant', 1700000000),
        ('no uuid', 'flow_qdrant', 1700000000);";
    connection.execute_batch(theirs).unwrap();
    let ctx = ctx(&file(&folder));
    let records = manager([("tableName", source("Mine"))]);

    let now = records.now(&ctx).await.unwrap();
    let listed = records.list("flow_qdrant", None, &ctx).await.unwrap();

    assert!((1e9..1e10).contains(&now), "their times are seconds, as ours");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].to_string(), "7da96e74-c43f-5a8c-8eeb-096f2ab7416b");
}

#[tokio::test]
async fn what_is_noted_outlives_the_server_and_is_seen_by_a_second_manager() {
    let folder = TempDir::new().unwrap();
    let ctx = ctx(&file(&folder));
    let (first, second) = (manager([]), manager([]));
    first.update("n", &[(A, None)], 1.0, &ctx).await.unwrap();

    second.update("n", &[(B, None)], 1.0, &ctx).await.unwrap();
    assert_eq!(first.exist("n", &[A, B], &ctx).await.unwrap(), [true, true]);
    drop((first, second));

    assert_eq!(manager([]).exist("n", &[A, B], &ctx).await.unwrap(), [true, true]);
}

#[tokio::test]
async fn another_database_of_the_configuration_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let elsewhere = folder.path().join("elsewhere.sqlite");
    let config = serde_json::json!({"database": elsewhere}).to_string();
    let records = manager([("additionalConfig", source(&config)), ("cleanup", source("full"))]);

    records.update("n", &[(A, None)], 1.0, &ctx(&file(&folder))).await.unwrap();

    assert!(!elsewhere.exists() && file(&folder).exists());
    assert_eq!(records.policy().cleanup, Cleanup::Full);
}

#[test]
fn what_could_leave_its_place_in_a_statement_is_no_table_name() {
    let long = "t".repeat(64);
    for name in ["a\"; drop table x; --", "a.b", "é", "-", "sqlite_master", &long] {
        let error = build_error(&SPEC, [("tableName", source(name))]);
        assert!(error.to_string().contains("tableName "), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error_without_its_path() {
    let folder = TempDir::new().unwrap();
    std::fs::write(file(&folder), "no database at all, but long enough to be read as one").unwrap();

    let error = manager([]).now(&ctx(&file(&folder))).await.unwrap_err().to_string();

    assert!(error.starts_with("The SQLite record manager could not"), "{error}");
    assert!(!error.contains("records.sqlite"), "{error}");
}
