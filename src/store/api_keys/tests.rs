use parlor_schemas::{Scope, Timestamp};

use super::super::tests::{open, open_in};
use super::super::{ImportMode, ImportOutcome, ImportedKey, ImportedSecret, NewKey, Store};

/// A key, and the hash that Flowise would have stored of it.
const OLD_KEY: &str = "importedKeyOfATest00000000000000000000000_-";
const OLD_HASH: &str = "563843549c89e2fb2d6aa6aadff7fcd05867607694826b72472fb407ce806e4646add1f512ba7527eb5fd8c80c3d11ceafe261fefa65483f6f4a34d7743ca896.00112233aabbccdd";

fn all_scopes(name: &str) -> NewKey {
    NewKey::named(name, &Scope::ALL)
}

fn imported(id: Option<&str>, name: &str, plain: &str) -> ImportedKey {
    ImportedKey {
        id: id.map(str::to_owned),
        name: name.to_owned(),
        secret: ImportedSecret::plain(plain),
        scopes: Scope::ALL.to_vec(),
        created_date: Timestamp::from_millis(0),
    }
}

fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<_> =
        store.api_keys().list().iter().map(|key| key.key_name.clone()).collect();
    names.sort();
    names
}

#[test]
fn a_key_is_found_by_its_whole_text_only_also_after_a_restart() {
    let (folder, store) = open();
    let new = NewKey::named("first", &[Scope::Predict]);
    let (row, plain) = store.api_keys().create(new).unwrap();
    assert_eq!((plain.len(), row.id.len()), (43, 32));
    assert!(plain.starts_with(&row.prefix));
    drop(store);
    let store = open_in(&folder);
    assert_eq!(*store.api_keys().find(&plain).unwrap(), row);
    let digest = String::from(row.digest.clone());
    for wrong in ["", &row.prefix, &plain[..42], &format!("{plain} "), &digest] {
        assert!(store.api_keys().find(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn the_key_itself_is_nowhere_in_the_data_folder() {
    let (folder, store) = open();
    let (_, plain) = store.api_keys().create(all_scopes("first")).unwrap();
    drop(store);
    let bytes = std::fs::read(folder.path().join("data/sled/db")).unwrap();
    assert!(!bytes.windows(plain.len()).any(|window| window == plain.as_bytes()));
}

#[test]
fn a_changed_key_still_opens_and_a_deleted_one_does_not() {
    let (_folder, store) = open();
    let keys = store.api_keys();
    let (row, plain) = keys.create(all_scopes("old")).unwrap();
    let (other, _) = keys.create(NewKey::named("other", &[])).unwrap();
    let renamed = keys.update(&row.id, |key| key.key_name = "new".into()).unwrap();
    assert_eq!(renamed.unwrap().key_name, "new");
    assert_eq!(keys.find(&plain).unwrap().key_name, "new");
    assert!(keys.delete(&row.id).unwrap());
    assert!(!keys.delete(&row.id).unwrap());
    assert!(keys.find(&plain).is_none());
    assert_eq!(keys.list().iter().map(|key| &key.id).collect::<Vec<_>>(), [&other.id]);
    assert!(keys.update("no such id", |_| ()).unwrap().is_none());
}

#[test]
fn a_key_opens_nothing_from_the_instant_of_its_expiry() {
    let (_folder, store) = open();
    let keys = store.api_keys();
    let (row, plain) = keys.create(all_scopes("short")).unwrap();
    let hour = Timestamp::now().plus_millis(3_600_000);
    keys.update(&row.id, |key| key.expires_at = Some(hour)).unwrap();
    assert!(keys.find(&plain).is_some());
    keys.update(&row.id, |key| key.expires_at = Some(Timestamp::now())).unwrap();
    assert!(keys.find(&plain).is_none());
    assert!(keys.get(&row.id).is_some(), "an expired key is still listed");
}

#[test]
fn a_rotated_key_opens_with_both_secrets_until_the_overlap_ends() {
    let (folder, store) = open();
    let (row, first) = store.api_keys().create(all_scopes("rotated")).unwrap();
    let second = store.api_keys().rotate(&row.id, 3_600_000).unwrap().unwrap();
    drop(store);
    let store = open_in(&folder);
    let keys = store.api_keys();
    for plain in [&first, &second] {
        assert_eq!(keys.find(plain).unwrap().id, row.id);
    }
    let third = keys.rotate(&row.id, 0).unwrap().unwrap();
    for dead in [&first, &second] {
        assert!(keys.find(dead).is_none());
    }
    assert_eq!(keys.find(&third).unwrap().id, row.id);
    assert!(keys.rotate("00000000000000000000000000000000", 0).unwrap().is_none());
    keys.update(&row.id, |key| key.expires_at = Some(Timestamp::now())).unwrap();
    assert!(keys.find(&third).is_none(), "an overlap outlives an expiry");
}

#[test]
fn an_imported_hash_is_checked_slowly_once_and_then_found_at_once() {
    let (folder, store) = open();
    let hash = ImportedSecret::flowise_hash(OLD_HASH).unwrap();
    let row = ImportedKey { secret: hash, ..imported(None, "hashed", "") };
    let done = store.api_keys().import(vec![row], ImportMode::ErrorIfExist).unwrap();
    assert_eq!(done, ImportOutcome::Done);
    let keys = store.api_keys();
    assert!(keys.find(OLD_KEY).is_none());
    assert_eq!((keys.n_unproven(OLD_KEY), keys.n_unproven("short")), (1, 0));
    let wrong = OLD_KEY.replace('0', "1");
    assert!(keys.prove(&wrong).unwrap().is_none());
    assert_eq!(keys.prove(OLD_KEY).unwrap().unwrap().key_name, "hashed");
    drop(store);
    let store = open_in(&folder);
    let keys = store.api_keys();
    assert_eq!(keys.n_unproven(OLD_KEY), 0);
    assert!(keys.find(OLD_KEY).unwrap().prefix == OLD_KEY[..6] && keys.find(&wrong).is_none());
}

#[test]
fn an_imported_key_takes_the_place_of_the_one_with_its_name_or_leaves_it() {
    let (_folder, store) = open();
    let keys = store.api_keys();
    let (row, plain) = keys.create(all_scopes("ours")).unwrap();
    let both = || vec![imported(None, "ours", "theirs-1"), imported(None, "new", "theirs-2")];
    let refused = keys.import(both(), ImportMode::ErrorIfExist).unwrap();
    assert_eq!(refused, ImportOutcome::Exists("ours".into()));
    assert_eq!(names(&store), ["ours"], "half an import was stored");
    keys.import(both(), ImportMode::IgnoreIfExist).unwrap();
    assert_eq!(names(&store), ["new", "ours"]);
    assert!(keys.find(&plain).is_some() && keys.find("theirs-1").is_none());
    keys.import(both(), ImportMode::OverwriteIfExist).unwrap();
    assert_eq!(names(&store), ["new", "ours"]);
    assert!(keys.find(&plain).is_none());
    assert_eq!(keys.find("theirs-1").unwrap().id, row.id, "chatflows name the id");
}

#[test]
fn replacing_all_keys_leaves_the_imported_ones_only_with_their_ids() {
    let (folder, store) = open();
    let (_, plain) = store.api_keys().create(all_scopes("ours")).unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    let dashed = "11111111-2222-4333-8444-555555555555";
    let rows = vec![imported(Some(id), "a", "key-a"), imported(Some(dashed), "a", "key-b")];
    store.api_keys().import(rows, ImportMode::ReplaceAll).unwrap();
    drop(store);
    let store = open_in(&folder);
    let keys = store.api_keys();
    assert!(keys.find(&plain).is_none());
    assert_eq!(keys.find("key-a").unwrap().id, id);
    assert_eq!(keys.find("key-b").unwrap().id, dashed);
    assert_eq!(keys.get(dashed).unwrap().key_name, "a");
}

#[test]
fn two_imported_keys_with_one_id_or_one_secret_are_refused() {
    let (_folder, store) = open();
    let id = Some("0123456789abcdef0123456789abcdef");
    for rows in [
        vec![imported(id, "a", "key-a"), imported(id, "b", "key-b")],
        vec![imported(None, "a", "key-a"), imported(None, "b", "key-a")],
    ] {
        let outcome = store.api_keys().import(rows, ImportMode::ReplaceAll).unwrap();
        assert_eq!(outcome, ImportOutcome::Twice("b".into()));
    }
    assert!(store.api_keys().list().is_empty());
}
