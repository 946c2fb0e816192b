//! Stories about answers that are remembered for their `Idempotency-Key`.

use std::sync::atomic::Ordering;

use parlor_actors::ports::HistoryStore;
use parlor_schemas::{ChatflowId, ErrorCode, MessageFilter, Remembered, Repetition};

use super::super::answer_keys;
use super::care::{backed_up, restored};
use super::verify::assert_clean;
use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn remembered(id: u128, n_bytes: usize) -> Remembered {
    let repetition = Repetition { key: Uuid::from_u128(id), body: "b".repeat(64) };
    Remembered { repetition, reply: vec![b'a'; n_bytes] }
}

/// Appends a turn whose answer is remembered.
async fn append_keyed(
    history: &History,
    key: &SessionKey,
    seq: u64,
    remembered: Remembered,
) -> Result<(), Fault> {
    let epoch = history.deletions.epoch(&key.chatflow);
    let append = appending(key, seq, epoch, turn(key, seq));
    history.append(Append { remembered: Some(remembered), ..append }).await
}

/// When the turn of this place was answered, and how much later it is now.
fn after(seq: u64, ms: i64) -> Timestamp {
    let turn = turn(&key(ChatflowId::random(), "s"), seq);
    Timestamp::from_millis(turn.answered_at.millis() + ms)
}

async fn held(history: &History, id: u128, now: Timestamp) -> Option<Remembered> {
    history.remembered(Uuid::from_u128(id), now).await.unwrap()
}

/// Rows of keys, of answers and of their parts.
fn n_answer_rows(history: &History) -> usize {
    let tree = history.tree().unwrap();
    [b'i', b'a', b'b'].iter().map(|kind| tree.scan_prefix([*kind]).count()).sum()
}

#[tokio::test]
async fn an_answer_of_any_length_is_there_after_a_restart_and_fits_together() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    for (seq, n_bytes) in [(0, 10), (1, 30_000)] {
        let answer = remembered(u128::from(seq), n_bytes);
        append_keyed(store.history(), &key, seq, answer).await.unwrap();
    }
    drop(store);
    let store = open_in(&folder);
    for (seq, n_bytes) in [(0, 10), (1, 30_000)] {
        let found = held(store.history(), seq.into(), after(seq, 1)).await;
        assert_eq!(found, Some(remembered(seq.into(), n_bytes)));
    }
    assert_eq!(held(store.history(), 7, after(0, 1)).await, None);
    assert_clean(store.history()).await;
}

#[tokio::test]
async fn of_two_turns_with_one_key_only_the_first_is_stored() {
    let (_folder, store) = open();
    let (flow, history) = (ChatflowId::random(), store.history());
    append_keyed(history, &key(flow, "s1"), 0, remembered(1, 10)).await.unwrap();
    for session in ["s1", "s2"] {
        let key = key(flow, session);
        let seq = u64::from(session == "s1");
        let second = append_keyed(history, &key, seq, remembered(1, 10)).await.unwrap_err();
        assert_eq!(second.code, ErrorCode::Conflict);
        // The refusal left nothing behind, and the session goes on.
        append(history, &key, seq).await.unwrap();
    }
    assert_clean(history).await;
}

#[tokio::test]
async fn a_refused_write_leaves_neither_the_turn_nor_its_answer() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    store.history().disk.fail_next_sync.store(true, Ordering::SeqCst);
    append_keyed(store.history(), &key, 0, remembered(1, 20_000)).await.unwrap_err();
    assert_eq!(held(store.history(), 1, after(0, 1)).await, None);
    assert_eq!(n_answer_rows(store.history()), 0);
    append_keyed(store.history(), &key, 0, remembered(1, 20_000)).await.unwrap();
    drop(store);
    let store = open_in(&folder);
    assert!(held(store.history(), 1, after(0, 1)).await.is_some());
    assert_clean(store.history()).await;
}

#[tokio::test]
async fn deleting_a_session_a_chatflow_or_a_message_takes_the_answer_and_no_neighbours() {
    let filters = [
        MessageFilter { to: Some(after(0, 0)), ..Default::default() },
        MessageFilter { to: Some(after(0, -1)), ..Default::default() },
    ];
    for how in 0..4 {
        let (_folder, store) = open();
        let (flow, history) = (ChatflowId::random(), store.history());
        append_keyed(history, &key(flow, "s1"), 0, remembered(1, 20_000)).await.unwrap();
        let (other, kept) = (key(ChatflowId::random(), "s1"), remembered(2, 20_000));
        append_keyed(history, &other, 0, kept.clone()).await.unwrap();
        let n_before = n_answer_rows(history);
        let n_deleted = match how {
            0 => history.forget(key(flow, "s1")).await.unwrap(),
            1 => history.delete_chatflow_history(flow).await.unwrap(),
            _ => history.delete_messages(flow, filters[how - 2].clone()).await.unwrap(),
        };
        // The last filter means the question alone.
        assert_eq!(n_deleted, if how == 3 { 1 } else { 2 });
        assert_eq!(held(history, 1, after(0, 1)).await, None, "{how}");
        assert_eq!(n_answer_rows(history), n_before / 2, "{how}");
        assert_eq!(held(history, 2, after(0, 1)).await, Some(kept));
        append_keyed(history, &key(flow, "s2"), 0, remembered(1, 10)).await.unwrap();
        assert_clean(history).await;
    }
}

#[tokio::test]
async fn a_key_is_free_after_a_day_and_its_answer_swept_with_those_before() {
    let (_folder, store) = open();
    let (flow, history) = (ChatflowId::random(), store.history());
    let (first, second) = (key(flow, "s1"), key(flow, "s2"));
    append_keyed(history, &first, 0, remembered(1, 20_000)).await.unwrap();
    append_keyed(history, &first, 1, remembered(2, 20_000)).await.unwrap();
    assert!(held(history, 1, after(0, DAY_MS - 1)).await.is_some());
    assert_eq!(held(history, 1, after(0, DAY_MS)).await, None);
    // A day later the same key is a new one: it is not swept with the old one.
    let epoch = history.deletions.epoch(&flow);
    let mut body = turn(&second, 0);
    body.answered_at = after(0, DAY_MS);
    let append = appending(&second, 0, epoch, body);
    history.append(Append { remembered: Some(remembered(1, 5)), ..append }).await.unwrap();
    assert_eq!(history.forget_old_answers(after(0, DAY_MS - 1)).await.unwrap(), 0);
    assert_eq!(history.forget_old_answers(after(0, DAY_MS)).await.unwrap(), 1);
    assert_eq!(held(history, 1, after(0, DAY_MS)).await, Some(remembered(1, 5)));
    assert_clean(history).await;
    assert_eq!(history.forget_old_answers(after(0, 9 * DAY_MS)).await.unwrap(), 2);
    assert_eq!(n_answer_rows(history), 0);
    assert_eq!(questions(history, &first).await.len(), 2, "turns stay");
}

#[tokio::test]
async fn a_great_number_of_old_answers_is_swept_in_slices() {
    let (_folder, store) = open();
    let (flow, history) = (ChatflowId::random(), store.history());
    for seq in 0..40 {
        let answer = remembered(seq.into(), if seq % 8 == 0 { 1_000_000 } else { 10 });
        append_keyed(history, &key(flow, "s"), seq, answer).await.unwrap();
    }
    assert_eq!(history.forget_old_answers(after(99, DAY_MS)).await.unwrap(), 40);
    assert_eq!(n_answer_rows(history), 0);
}

#[tokio::test]
async fn a_clock_that_was_set_back_frees_no_key() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_keyed(store.history(), &key, 0, remembered(1, 10)).await.unwrap();
    let long_ago = after(0, -400 * DAY_MS);
    assert_eq!(store.history().forget_old_answers(long_ago).await.unwrap(), 0);
    assert!(held(store.history(), 1, long_ago).await.is_some());
    for extreme in [i64::MIN, i64::MAX] {
        let _ = held(store.history(), 1, Timestamp::from_millis(extreme)).await;
    }
}

#[tokio::test]
async fn a_backup_holds_the_answers_that_are_still_given() {
    let (_folder, store) = open();
    let (flow, history, now) = (ChatflowId::random(), store.history(), Timestamp::now());
    let aged = async |id: u128, n_bytes: usize, age_ms: i64| {
        let key = key(flow, &format!("s{id}"));
        let answered_at = Timestamp::from_millis(now.millis() - age_ms);
        let body = NewTurn { answered_at, ..turn(&key, 0) };
        let append = appending(&key, 0, 0, body);
        let remembered = Some(remembered(id, n_bytes));
        history.append(Append { remembered, ..append }).await.unwrap();
    };
    aged(1, 10, 1_000).await;
    aged(2, 30_000, DAY_MS / 2).await;
    aged(3, 10, DAY_MS).await;
    let (_folder, restored) = restored(backed_up(&store, async || {}).await);
    for (id, n_bytes) in [(1, 10), (2, 30_000)] {
        assert_eq!(held(restored.history(), id, now).await, Some(remembered(id, n_bytes)));
    }
    assert_eq!(held(restored.history(), 3, after(0, 0)).await, None);
    assert_clean(restored.history()).await;
    restored.history().forget(key(flow, "s2")).await.unwrap();
    assert_eq!(held(restored.history(), 2, now).await, None);
}

#[tokio::test]
async fn verifying_names_answers_that_are_damaged_and_keys_that_lead_nowhere() {
    let (_folder, store) = open();
    let (flow, history) = (ChatflowId::random(), store.history());
    for id in 0..3 {
        let session = key(flow, &format!("s{id}"));
        append_keyed(history, &session, 0, remembered(id, 20_000)).await.unwrap();
    }
    let tree = history.tree().unwrap();
    let answers: Vec<_> = tree.scan_prefix([b'a']).keys().map(Result::unwrap).collect();
    tree.remove(&answers[0]).unwrap();
    let mut head = tree.get(&answers[1]).unwrap().unwrap().to_vec();
    *head.last_mut().unwrap() ^= 1;
    tree.insert(&answers[1], head).unwrap();
    let found = history.verify().await.unwrap();
    let kinds: Vec<_> =
        found.problems.iter().map(|problem| (problem.kind.as_str(), problem.count)).collect();
    assert_eq!(kinds, [("damagedAnswer", 1), ("loosePart", 3), ("danglingIdempotencyKey", 1)]);
    let id = tree.scan_prefix([b'i']).keys().nth(1).unwrap().unwrap();
    let at = answer_keys::place_of_answer(&answers[1]).unwrap();
    assert_eq!(tree.get(&id).unwrap().unwrap(), answer_keys::place_bytes(at));
    let damaged = history.remembered(Uuid::from_u128(1), after(0, 1)).await.unwrap_err();
    assert_eq!(damaged.code(), ErrorCode::StoreFailed);
    history.forget(key(flow, "s1")).await.unwrap();
    assert_eq!(held(history, 1, after(0, 1)).await, None);
}
