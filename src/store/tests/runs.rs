//! Whatever is written and removed, in whatever company: index entries are found
//! as if each had a row of its own.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use parlor_schemas::{ChatflowId, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::super::disk::Disk;
use super::super::keys::{self, DatePlace, TurnPlace};
use super::super::rows::{self, Changes};
use super::super::{HISTORY, Order, run_walk, runs};
use super::*;

/// Few numbers near each other and some far away, so that runs overlap.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..40, 2 => (0u64..6).prop_map(|n| n * 400), 1 => Just(u64::MAX / 4)]
}

fn entry() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (number(), 0u8..2, 0u8..2).prop_map(|(n, flow, role)| {
            let time = Timestamp::from_millis(i64::try_from(n).unwrap());
            let turn = TurnPlace { ordinal: n % 3, seq: 0 };
            keys::date(&ChatflowId::from_bytes([flow; 16]), DatePlace { time, turn, role })
        }),
        number().prop_map(|n| keys::message(&Uuid::from_u64_pair(n << 16, 1))),
        number().prop_map(keys::owner),
        (0u64..9).prop_map(|n| keys::turn(TurnPlace { ordinal: n, seq: n })),
    ]
}

/// A batch: keys to write or to remove, now and then the same one twice.
fn batch() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..20));
    prop::collection::vec((entry(), value), 0..40)
}

fn applied(tree: &sled::Tree, changes: Changes) {
    let changes = runs::gather(tree, changes).unwrap();
    tree.apply_batch(rows::batch(changes)).unwrap();
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is known to be absent may be added, what is there only changed after a removal,
/// as all writers do.
fn as_writers_do(changes: Changes, model: &Model) -> Changes {
    let mut allowed = Changes::new();
    for (key, value) in changes {
        if value.is_some() && model.contains_key(&key) {
            allowed.push((key.clone(), None));
        }
        allowed.push((key, value));
    }
    allowed
}

fn found(
    tree: &sled::Tree,
    range: &RangeInclusive<Vec<u8>>,
    order: Order,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let kind = match range.start()[0] {
        b'd' => &runs::BY_DATE,
        _ => &runs::BY_ORDINAL,
    };
    run_walk::range(tree, kind, range.clone(), order).unwrap().map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn entries_are_found_as_if_each_stood_alone(
        batches in prop::collection::vec(batch(), 1..12),
        bounds in prop::collection::vec((entry(), entry()), 20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path().join("sled"), 1 << 20).unwrap();
        let tree = disk.tree(HISTORY).unwrap();
        let mut model = Model::new();
        for changes in batches {
            let changes = as_writers_do(changes, &model);
            applied(&tree, changes.clone());
            for (key, value) in changes {
                match value {
                    Some(value) => drop(model.insert(key, value)),
                    None => drop(model.remove(&key)),
                }
            }
            for (key, value) in &model {
                let found = runs::get(&tree, key).unwrap();
                prop_assert_eq!(found.as_ref(), Some(value));
            }
        }
        for (low, high) in &bounds {
            prop_assert_eq!(runs::get(&tree, low).unwrap(), model.get(low).cloned());
            let is_walked = matches!((low[0], high[0]), (b'd', b'd') | (b'o', b'o')) && low <= high;
            if !is_walked || (low[0] == b'd' && low[1] != high[1]) {
                continue;
            }
            let range = low.clone()..=high.clone();
            let mut expected: Vec<_> = model.range(range.clone()).map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(found(&tree, &range, Order::Ascending), expected.clone());
            expected.reverse();
            prop_assert_eq!(found(&tree, &range, Order::Descending), expected);
        }
        // Nothing is left behind when all is removed.
        applied(&tree, model.into_keys().map(|key| (key, None)).collect());
        prop_assert_eq!(tree.len(), 0);
    }
}

#[test]
fn turns_that_come_together_share_rows() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path().join("sled"), 1 << 20).unwrap();
    let tree = disk.tree(HISTORY).unwrap();
    let flow = ChatflowId::random();
    let place = |ordinal| TurnPlace { ordinal, seq: 0 };
    let at = |ordinal: u64| DatePlace {
        time: Timestamp::from_millis(1_700_000_000_000 + i64::try_from(ordinal).unwrap()),
        turn: place(ordinal),
        role: 0,
    };
    let dates = (0..16).map(|n| (keys::date(&flow, at(n)), Some(Vec::new())));
    let long = (0..16).map(|n| (keys::owner(n), Some(vec![7; 500])));
    applied(&tree, dates.chain(long).collect());
    // The owners would not fit into one row that sled keeps in its log.
    assert_eq!((tree.scan_prefix(b"e").count(), tree.scan_prefix(b"q").count()), (1, 2));
    assert_eq!(tree.len(), 3);
    applied(&tree, vec![(keys::date(&flow, at(20)), Some(Vec::new()))]);
    assert_eq!(tree.scan_prefix(b"d").count(), 1);
}

#[tokio::test]
async fn a_store_of_the_format_before_is_read_and_goes_on() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append_all(store.history(), &key, 3).await;
    // As the format before has it: every entry alone, and one more by chat id.
    let tree = store.history().tree().unwrap();
    let mut changes =
        vec![(keys::chat(&key.chatflow, &ChatId::from(&key.session), 0), Some(Vec::new()))];
    for row in tree.iter() {
        let (at, run) = row.unwrap();
        let entries = runs::entries(&at, &run).0.into_iter();
        changes.extend(entries.map(|(key, value)| (key, Some(value))));
        if b"elq".contains(&at[0]) {
            changes.push((at.to_vec(), None));
        }
    }
    assert_eq!(changes.iter().filter(|(_, value)| value.is_none()).count(), 3);
    tree.apply_batch(rows::batch(changes)).unwrap();
    drop(tree);
    let meta = store.history().disk.tree("meta").unwrap();
    meta.insert("format", 1u32.to_be_bytes().as_slice()).unwrap();
    drop(meta);
    drop(store);
    let store = open_in(&folder);
    append(store.history(), &key, 3).await.unwrap();
    super::verify::assert_clean(store.history()).await;
    let query = MessageQuery { limit: 10, ..Default::default() };
    let page = store.history().messages(key.chatflow, query).await.unwrap();
    assert_eq!(page.messages.len(), 8);
    assert_eq!(store.history().forget(key).await.unwrap(), 8);
    assert_eq!(n_rows(store.history()), 0);
}
