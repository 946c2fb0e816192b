use parlor_actors::ports::HistoryStore;
use parlor_schemas::feedback::{Lead, Rating};
use parlor_schemas::{ChatId, ChatflowId, Halves, Timestamp, VariableType};

use super::super::{
    BackupItem, ExportQuery, ImportedTurn, RatedMessage, Restore, RowPageQuery, StoreOptions,
    verify_folder,
};
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

async fn assert_clean(history: &History) {
    let found = history.verify().await.unwrap();
    assert!(found.is_clean(), "{:#?}", found.problems);
}

/// All items of a backup, with what is written while it is read.
async fn backed_up(store: &Store, mut between: impl AsyncFnMut()) -> Vec<BackupItem> {
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

fn restored(items: Vec<BackupItem>) -> (TempDir, Store) {
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
    while history.export(ExportQuery::default(), None).await.unwrap().turns.len() == 200 {
        tokio::task::yield_now().await;
    }
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

/// The key in the index by id of a message of the first conversation's turn.
fn id_entry_of(tree: &sled::Tree, seq: u64) -> sled::IVec {
    let rows = tree.scan_prefix([b'm']).map(Result::unwrap);
    let mut of_turn = rows.filter(|(_, value)| value[8..16] == seq.to_be_bytes());
    of_turn.next().unwrap().0
}

#[tokio::test]
async fn verifying_names_each_kind_of_damage_and_changes_nothing() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 4).await;
    store.variables().create("v", "1", VariableType::Static).unwrap();
    assert_clean(store.history()).await;
    let tree = store.history().tree().unwrap();
    let nth = |first: u8, n: usize| tree.scan_prefix([first]).nth(n).unwrap().unwrap().0;
    let (turn, garbled) = (nth(b't', 1), nth(b't', 2));
    let mut head = tree.get(&garbled).unwrap().unwrap();
    let last = head.len() - 1;
    head[last] ^= 1;
    tree.insert(garbled, head).unwrap();
    tree.remove(turn).unwrap();
    let id = id_entry_of(&tree, 0);
    tree.remove(id).unwrap();
    tree.remove(nth(b'd', 0)).unwrap();
    tree.remove(nth(b'c', 0)).unwrap();
    tree.remove(nth(b's', 0)).unwrap();
    tree.insert(b"?", b"").unwrap();
    let variables = store.history().disk.tree("variables").unwrap();
    let (id, mut row) = variables.first().unwrap().unwrap();
    row[9] ^= 1;
    variables.insert(id, row).unwrap();
    let n_before = n_rows(store.history());
    let found = store.history().verify().await.unwrap();
    let mut kinds: Vec<_> = found.problems.iter().map(|found| found.kind.as_str()).collect();
    kinds.sort_unstable();
    let expected = [
        "conversationWithoutSession",
        "damagedRow",
        "damagedTurn",
        "danglingDateEntry",
        "danglingIdEntry",
        "messageNotInDateIndex",
        "messageNotInIdIndex",
        "turnNotInChatIndex",
        "unknownRow",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(n_rows(store.history()), n_before);
    drop((tree, variables));
    drop(store);
    let listing = || {
        let db = folder.path().join("data/sled/db");
        std::fs::read(db).unwrap()
    };
    let before = listing();
    assert_eq!(verify_folder(&folder.path().join("data")).unwrap(), found);
    assert!(listing() == before, "verifying changed the database");
}

#[tokio::test]
async fn verifying_finds_nothing_wrong_while_turns_are_written_and_deleted() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    let history = store.history().clone();
    let writing = tokio::spawn(async move {
        for round in 0..6 {
            for name in 0..8 {
                append_all(&history, &key(flow, &format!("{round}-{name}")), 10).await;
            }
            history.forget(key(flow, &format!("{round}-0"))).await.unwrap();
            let to = Some(Timestamp::from_millis(1_700_000_002_000));
            let filter = MessageFilter { to, ..Default::default() };
            history.delete_messages(flow, filter).await.unwrap();
        }
    });
    while !writing.is_finished() {
        assert_clean(store.history()).await;
    }
    writing.await.unwrap();
    assert_clean(store.history()).await;
}

#[test]
fn verifying_a_folder_without_a_store_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(verify_folder(&folder.path().join("nothing")).is_err());
    assert!(!folder.path().join("nothing").exists());
}

/// A store with one rated turn and one lead of its chatflow.
async fn with_feedback() -> (TempDir, Store, ChatflowId) {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 1).await;
    let message = messages_of(store.history(), &key, Order::Ascending).await[1].id;
    let chat_id = ChatId::from(&key.session);
    let rated = RatedMessage { id: message, key: key.clone(), chat_id: chat_id.clone() };
    let words = Some("🦊".repeat(5_000));
    store.feedback().rate(rated, Some(Rating::ThumbsUp), words).await.unwrap();
    let lead = Lead {
        id: Uuid::new_v4(),
        name: None,
        email: None,
        phone: None,
        chatflowid: key.chatflow,
        chat_id,
        created_date: Timestamp::now(),
    };
    store.leads().put(lead).await.unwrap();
    (folder, store, key.chatflow)
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
async fn verifying_names_rows_of_feedback_that_are_damaged_or_cannot_be_found() {
    for (damage, expected) in [(0, "damagedRow"), (1, "unlistedRow"), (2, "danglingListing")] {
        let (_folder, store, _) = with_feedback().await;
        assert_clean(store.history()).await;
        let tree = store.history().disk.tree("feedback").unwrap();
        let nth = |prefix: u8, n: usize| tree.scan_prefix([prefix]).nth(n).unwrap().unwrap();
        match damage {
            0 => {
                let (key, mut part) = nth(b'r', 1);
                part[3] ^= 1;
                tree.insert(key, part).unwrap();
            }
            1 => drop(tree.remove(nth(b'c', 0).0).unwrap()),
            _ => {
                let (key, value) = nth(b'm', 0);
                tree.insert([b"m", Uuid::new_v4().as_bytes().as_slice()].concat(), value).unwrap();
                tree.remove(key).unwrap();
                let (key, _) = nth(b'd', 0);
                let mut elsewhere = key.to_vec();
                *elsewhere.last_mut().unwrap() ^= 1;
                tree.insert(elsewhere, b"").unwrap();
            }
        }
        let found = store.history().verify().await.unwrap();
        let kinds: Vec<_> = found.problems.iter().map(|found| found.kind.as_str()).collect();
        assert!(kinds.contains(&expected), "{kinds:?}");
    }
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

#[tokio::test]
async fn every_tree_is_known_to_verification() {
    let (_folder, store, _) = with_feedback().await;
    store.chatflows().list().unwrap();
    store.variables().list().unwrap();
    let bound = store.chatflows().bindings(ChatflowId::random());
    assert!(bound.unwrap().is_empty());
    let names = store.history().disk.tree_names().unwrap();
    assert!(names.len() >= 9, "{names:?}");
    let found = store.history().verify().await.unwrap();
    assert_eq!(found.notes, [], "a tree is not known");
    store.history().disk.tree("news").unwrap();
    let found = store.history().verify().await.unwrap();
    assert_eq!(found.notes[0].examples, ["news"]);
}
