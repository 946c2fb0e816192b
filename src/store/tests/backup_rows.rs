use parlor_schemas::{UpsertRecord, VariableType};
use serde_json::{Map, json};

use super::super::{BackupItem, Restore, RowPageQuery};
use super::verify::assert_clean;
use super::*;

fn row(chatflow: ChatflowId, time: i64) -> UpsertRecord {
    UpsertRecord {
        id: Uuid::new_v4(),
        chatflowid: chatflow,
        result: Map::from_iter([("numAdded".to_owned(), json!(time))]),
        // Several parts, of which one may change under its reader.
        flow_data: vec![json!("x".repeat(20_000))],
        date: Timestamp::from_millis(time),
    }
}

async fn rows_of(store: &Store, chatflow: ChatflowId) -> Vec<UpsertRecord> {
    let all = RowPageQuery { limit: 1_000, ..RowPageQuery::default() };
    store.upsert_history().page(Some(chatflow), all).await.unwrap().rows
}

fn restored(items: Vec<BackupItem>) -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut restore = Restore::begin(&folder.path().join("data")).unwrap();
    items.into_iter().for_each(|item| restore.put(item).unwrap());
    restore.finish().unwrap();
    let store = open_in(&folder);
    (folder, store)
}

#[tokio::test]
async fn a_backup_holds_the_rows_of_its_moment_whatever_is_changed_meanwhile() {
    let (_folder, store) = open();
    let [flow, other, late] = [(); 3].map(|()| ChatflowId::random());
    for time in 0..200 {
        store.upsert_history().put(row(flow, time)).await.unwrap();
        store.upsert_history().put(row(other, time)).await.unwrap();
    }
    let kept = store.variables().create("kept", "before", VariableType::Static).unwrap();
    let gone = store.variables().create("gone", &"y".repeat(50_000), VariableType::Static).unwrap();
    let before = rows_of(&store, flow).await;

    let mut backup = store.history().begin_backup().await.unwrap();
    store.variables().delete(gone.id).unwrap();
    store.variables().create("new", "after", VariableType::Static).unwrap();
    store.upsert_history().delete_chatflow(other).await.unwrap();
    let (mut items, mut n_pages) = (Vec::new(), 0);
    while let Some(page) = backup.next().await.unwrap() {
        items.extend(page);
        // One row goes, one becomes another, and one comes, before and behind the reader.
        let ids: Vec<_> = rows_of(&store, flow).await.iter().map(|row| row.id).collect();
        store.upsert_history().delete(&ids[..1]).await.unwrap();
        store.upsert_history().put(UpsertRecord { id: ids[1], ..row(flow, 7) }).await.unwrap();
        store.upsert_history().put(row(late, n_pages)).await.unwrap();
        n_pages += 1;
    }
    assert!(n_pages > 8, "all was read at once");
    drop(backup);

    let (_other_folder, other_store) = restored(items);
    assert_eq!(rows_of(&other_store, flow).await, before);
    assert_eq!(rows_of(&other_store, other).await.len(), 200);
    assert!(rows_of(&other_store, late).await.is_empty());
    let mut variables = other_store.variables().list().unwrap();
    variables.sort_by(|one, two| one.name.cmp(&two.name));
    assert_eq!(variables, [gone, kept]);
    assert_clean(other_store.history()).await;
    assert_clean(store.history()).await;
}

#[tokio::test]
async fn the_newest_rows_of_the_upsert_history_are_kept_and_neighbours_lose_none() {
    let (_folder, store) = open();
    let [flow, other] = [(); 2].map(|()| ChatflowId::random());
    let small = |flow, time| UpsertRecord { flow_data: Vec::new(), ..row(flow, time) };
    store.upsert_history().put(small(other, 0)).await.unwrap();
    for time in 0..503 {
        store.upsert_history().put(small(flow, time)).await.unwrap();
    }
    let kept = rows_of(&store, flow).await;
    assert_eq!((kept.len(), kept[0].date), (500, Timestamp::from_millis(3)));
    assert_eq!(rows_of(&store, other).await.len(), 1);
}
