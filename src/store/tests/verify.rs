//! Stories about looking whether everything fits together.

use parlor_schemas::feedback::{Lead, Rating};
use parlor_schemas::{ChatId, ChatflowId, Timestamp, VariableType};

use super::super::{RatedMessage, verify_folder};
use super::*;

pub(super) async fn assert_clean(history: &History) {
    let found = history.verify().await.unwrap();
    assert!(found.is_clean(), "{:#?}", found.problems);
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
    for seq in 0..4 {
        let chat_id = ChatId::parse("another name").unwrap();
        let body = NewTurn { chat_id, ..turn(&key, seq) };
        store.history().append(appending(&key, seq, 0, body)).await.unwrap();
    }
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
    tree.remove(nth(b'e', 0)).unwrap();
    tree.remove(nth(b'c', 0)).unwrap();
    tree.remove(nth(b's', 0)).unwrap();
    tree.insert(b"?", b"").unwrap();
    let run = nth(b'e', 2);
    let mut cut = tree.get(&run).unwrap().unwrap().to_vec();
    cut.pop();
    tree.insert(run, cut).unwrap();
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
        "damagedIndexRow",
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
pub(super) async fn with_feedback() -> (TempDir, Store, ChatflowId) {
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
