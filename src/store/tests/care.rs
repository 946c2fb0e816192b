use parlor_actors::ports::HistoryStore;
use parlor_schemas::{ChatflowId, Halves, VariableType};

use super::super::{
    BackupItem, ExportQuery, ImportedTurn, Restore, RowPageQuery, StoreOptions, backup, keys,
    record,
};
use super::verify::{assert_clean, with_feedback};
use super::*;

async fn exported(history: &History, query: ExportQuery) -> Vec<(SessionKey, Turn)> {
    let (mut turns, mut at) = (Vec::new(), None);
    loop {
        let page = history.export(query.clone(), at).await.unwrap();
        turns.extend(page.turns);
        at = page.next;
        if at.is_none() {
            return turns;
        }
    }
}

fn imported(turns: &[(SessionKey, Turn)]) -> Vec<ImportedTurn> {
    let one = |(key, turn): &(SessionKey, Turn)| ImportedTurn {
        key: key.clone(),
        halves: turn.halves,
        body: turn.body.clone(),
    };
    turns.iter().map(one).collect()
}

/// All items of a backup, with what is written while it is read.
pub(super) async fn backed_up(store: &Store, mut between: impl AsyncFnMut()) -> Vec<BackupItem> {
    let mut backup = store.history().begin_backup().await.unwrap();
    let mut items = Vec::new();
    between().await;
    while let Some(page) = backup.next().await.unwrap() {
        items.extend(page);
        between().await;
    }
    assert_eq!(backup.n_damaged(), 0);
    items
}

pub(super) fn restored(items: Vec<BackupItem>) -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut restore = Restore::begin(&folder.path().join("data")).unwrap();
    items.into_iter().for_each(|item| restore.put(item).unwrap());
    restore.finish().unwrap();
    let store = open_in(&folder);
    (folder, store)
}

#[tokio::test]
async fn an_export_is_whole_conversations_in_order_and_only_those_that_are_meant() {
    let (_folder, store) = open();
    let (one, other) = (ChatflowId::random(), ChatflowId::random());
    for flow in [one, other] {
        for session in ["a", "b"] {
            append_all(store.history(), &key(flow, session), 300).await;
        }
    }
    store.history().forget(key(other, "b")).await.unwrap();
    let all = exported(store.history(), ExportQuery::default()).await;
    assert_eq!(all.len(), 900);
    let query = ExportQuery { chatflow: Some(one), ..Default::default() };
    let of_one = exported(store.history(), query).await;
    let expected: Vec<_> =
        ["a", "b"].iter().flat_map(|name| (0..300).map(|seq| (key(one, name), seq))).collect();
    assert_eq!(
        of_one.iter().map(|(key, turn)| (key.clone(), turn.seq)).collect::<Vec<_>>(),
        expected
    );
    let session = Some(key(one, "b").session);
    let query = ExportQuery { chatflow: Some(one), session };
    assert_eq!(exported(store.history(), query.clone()).await.len(), 300);
    let query = ExportQuery { chatflow: None, ..query };
    assert_eq!(exported(store.history(), query).await.len(), 300);
}

#[tokio::test]
async fn what_was_exported_comes_in_again_once_and_ids_stay() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 5).await;
    let turns = exported(store.history(), ExportQuery::default()).await;
    let (_other_folder, other) = open();
    assert_eq!(other.history().import(imported(&turns)).await.unwrap(), 10);
    assert_eq!(other.history().import(imported(&turns)).await.unwrap(), 0);
    assert_eq!(exported(other.history(), ExportQuery::default()).await, turns);
    // The conversation goes on behind what came in.
    append(other.history(), &key, 5).await.unwrap();
    assert_clean(other.history()).await;
}

#[tokio::test]
async fn of_one_turn_twice_in_one_import_only_the_first_is_stored() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let body = turn(&key, 0);
    let twice = vec![ImportedTurn { key: key.clone(), halves: Halves::BOTH, body }; 2];
    assert_eq!(store.history().import(twice).await.unwrap(), 2);
    assert_eq!(questions(store.history(), &key).await.len(), 1);
}

#[tokio::test]
async fn an_import_that_fails_can_be_repeated_and_doubles_nothing() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 5).await;
    let turns = exported(store.history(), ExportQuery::default()).await;
    let (other_folder, other) = open();
    other.history().disk.fail_next_sync.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(other.history().import(imported(&turns)).await.is_err());
    // It may have reached the disk all the same.
    let n_messages = other.history().import(imported(&turns)).await.unwrap();
    assert!([0, 10].contains(&n_messages), "{n_messages}");
    drop(other);
    let other = open_in(&other_folder);
    assert_eq!(exported(other.history(), ExportQuery::default()).await, turns);
    assert_clean(other.history()).await;
}

#[tokio::test]
async fn what_is_being_deleted_does_not_come_in_before_it_is_gone() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 200).await;
    let turns = exported(store.history(), ExportQuery::default()).await;
    let history = store.history().clone();
    let forgetting = tokio::spawn({
        let (history, key) = (history.clone(), key.clone());
        async move { history.forget(key).await.unwrap() }
    });
    until(async || history.export(ExportQuery::default(), None).await.unwrap().turns.len() != 200)
        .await;
    let early = history.import(imported(&turns[199..])).await;
    let early = early.unwrap_or_else(|error| {
        assert!(error.to_string().contains("still being deleted"), "{error}");
        0
    });
    assert_eq!(forgetting.await.unwrap(), 400);
    let late = history.import(imported(&turns)).await.unwrap();
    assert_eq!(early + late, 400);
    assert_clean(&history).await;
}

#[tokio::test]
async fn a_message_that_was_deleted_comes_back_to_its_place() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 3).await;
    let before = exported(store.history(), ExportQuery::default()).await;
    let id = before[1].1.body.answer_id;
    let filter = MessageFilter { message: Some(id), ..Default::default() };
    assert_eq!(store.history().delete_messages(key.chatflow, filter).await.unwrap(), 1);
    assert_eq!(store.history().import(imported(&before)).await.unwrap(), 1);
    assert_eq!(exported(store.history(), ExportQuery::default()).await, before);
    assert_clean(store.history()).await;
}

#[tokio::test]
async fn a_half_turn_can_be_exported_and_imported() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 2).await;
    let filter = MessageFilter { to: Some(turn(&key, 0).asked_at), ..Default::default() };
    store.history().delete_messages(key.chatflow, filter).await.unwrap();
    let turns = exported(store.history(), ExportQuery::default()).await;
    let (_other_folder, other) = open();
    assert_eq!(other.history().import(imported(&turns)).await.unwrap(), 3);
    let again = exported(other.history(), ExportQuery::default()).await;
    let shown = |turns: &[(SessionKey, Turn)]| -> Vec<_> {
        turns.iter().map(|(key, turn)| (turn.seq, turn.messages(key))).collect()
    };
    assert_eq!(shown(&again), shown(&turns));
    assert_clean(other.history()).await;
}

#[tokio::test]
async fn a_backup_holds_exactly_the_turns_of_its_moment_whatever_is_written_meanwhile() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    let names: Vec<_> = (0..40).map(|n| key(flow, &format!("s{n}"))).collect();
    for name in &names {
        append_all(store.history(), name, 20).await;
    }
    let mut seq = 20;
    let items = backed_up(&store, async || {
        for name in &names {
            append(store.history(), name, seq).await.unwrap();
        }
        append_all(store.history(), &key(flow, &format!("new{seq}")), 1).await;
        seq += 1;
    })
    .await;
    assert!(seq > 22, "nothing was written while the backup was read");
    let (_other_folder, other) = restored(items);
    let turns = exported(other.history(), ExportQuery::default()).await;
    assert_eq!(turns.len(), 800);
    for name in &names {
        assert_eq!(questions(other.history(), name).await.len(), 20);
    }
    assert_clean(other.history()).await;
    append(other.history(), &names[0], 20).await.unwrap();
}

#[tokio::test]
async fn a_backup_holds_the_small_tables_long_rows_long_turns_and_gaps() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    for seq in 0..3 {
        let body = parlor_schemas::NewTurn { answer: "🦊".repeat(20_000), ..turn(&key, seq) };
        store.history().append(appending(&key, seq, 0, body)).await.unwrap();
    }
    let middle = exported(store.history(), ExportQuery::default()).await[1].1.clone();
    for id in [middle.body.question_id, middle.body.answer_id] {
        let filter = MessageFilter { message: Some(id), ..Default::default() };
        store.history().delete_messages(key.chatflow, filter).await.unwrap();
    }
    let long = "x".repeat(50_000);
    let variable = store.variables().create("long", &long, VariableType::Static).unwrap();
    let before = exported(store.history(), ExportQuery::default()).await;
    let (_other_folder, other) = restored(backed_up(&store, async || ()).await);
    assert_eq!(exported(other.history(), ExportQuery::default()).await, before);
    assert_eq!(other.variables().get(variable.id).unwrap(), Some(variable));
    let found = other.history().verify().await.unwrap();
    assert!(found.is_clean());
    assert_eq!(found.notes[0].kind, "sequenceGap");
}

#[tokio::test]
async fn a_damaged_turn_is_counted_and_left_out_of_a_backup_and_the_others_are_in_it() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 3).await;
    let tree = store.history().tree().unwrap();
    let (at, mut head) = tree.scan_prefix([b't']).nth(1).unwrap().unwrap();
    head[20] ^= 1;
    tree.insert(at, head).unwrap();
    drop(tree);
    let mut backup = store.history().begin_backup().await.unwrap();
    let mut items = Vec::new();
    while let Some(page) = backup.next().await.unwrap() {
        items.extend(page);
    }
    assert_eq!(backup.n_damaged(), 1);
    let (_other_folder, other) = restored(items);
    assert_eq!(questions(other.history(), &key).await, ["s asks 0", "s asks 2"]);
    assert_clean(other.history()).await;
}

#[tokio::test]
async fn a_restore_needs_an_empty_folder_and_an_unfinished_one_is_no_store() {
    let (folder, store) = open();
    append_all(store.history(), &key(ChatflowId::random(), "s"), 1).await;
    let items = backed_up(&store, async || ()).await;
    assert!(Restore::begin(&folder.path().join("data")).is_err());
    let new = folder.path().join("new");
    let mut restore = Restore::begin(&new).unwrap();
    items.into_iter().for_each(|item| restore.put(item).unwrap());
    drop(restore);
    let error = Store::open(&new, StoreOptions::default()).unwrap_err();
    assert!(error.to_string().contains("restore the newest backup"), "{error}");
}

#[tokio::test]
async fn feedback_and_leads_are_in_a_backup_with_all_that_leads_to_them() {
    let (_folder, store, flow) = with_feedback().await;
    let (_other_folder, other) = restored(backed_up(&store, async || ()).await);
    assert_clean(other.history()).await;
    let query = RowPageQuery { limit: 10, ..Default::default() };
    let of = async |store: &Store| {
        let feedback = store.feedback().page(flow, None, query).await.unwrap().rows;
        (feedback, store.leads().page(flow, None, query).await.unwrap().rows)
    };
    assert_eq!(of(&other).await, of(&store).await);
    assert_eq!(of(&other).await.0.len(), 1);
}

#[tokio::test]
async fn a_turn_that_lost_a_message_under_its_reader_is_read_anew() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let body = parlor_schemas::NewTurn { answer: "x".repeat(60_000), ..turn(&key, 0) };
    let id = body.answer_id;
    store.history().append(appending(&key, 0, 0, body)).await.unwrap();
    let tree = store.history().tree().unwrap();
    let (at, met) = tree.scan_prefix([b't']).next().unwrap().unwrap();
    let place = keys::place_of_turn(&at).unwrap();
    let filter = MessageFilter { message: Some(id), ..Default::default() };
    assert_eq!(store.history().delete_messages(key.chatflow, filter).await.unwrap(), 1);
    let bytes = backup::record(&tree, place, &met).unwrap().expect("its question is still there");
    let halves = record::decode(&bytes).unwrap().halves;
    assert_eq!(halves, Halves { question: true, answer: false });
    store.history().forget(key).await.unwrap();
    assert!(backup::record(&tree, place, &met).unwrap().is_none());
}

#[tokio::test]
async fn a_backup_is_whole_while_single_messages_are_deleted() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    let names: Vec<_> = (0..8).map(|n| key(flow, &format!("s{n}"))).collect();
    for name in &names {
        for seq in 0..12 {
            // Several parts, so that one of them may change under its reader.
            let body = parlor_schemas::NewTurn { answer: "x".repeat(60_000), ..turn(name, seq) };
            store.history().append(appending(name, seq, 0, body)).await.unwrap();
        }
    }
    let history = store.history().clone();
    let deleting = tokio::spawn(async move {
        for seq in 0..12 {
            let at = Some(turn(&key(flow, "s0"), seq).answered_at);
            let filter = MessageFilter { from: at, to: at, ..Default::default() };
            assert_eq!(history.delete_messages(flow, filter).await.unwrap(), 8);
        }
    });
    while !deleting.is_finished() {
        let (_other_folder, other) = restored(backed_up(&store, async || ()).await);
        assert_clean(other.history()).await;
        for name in &names {
            assert_eq!(questions(other.history(), name).await.len(), 12);
        }
    }
    deleting.await.unwrap();
    assert_clean(store.history()).await;
}
