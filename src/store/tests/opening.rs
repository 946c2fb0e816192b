use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use parlor_schemas::ChatflowId;

use super::super::{FORMAT, StoreError, StoreOptions};
use super::*;

fn reopen(folder: &TempDir) -> Result<Store, StoreError> {
    Store::open(&folder.path().join("data"), StoreOptions::default())
}

#[test]
fn a_second_store_on_the_same_folder_is_refused_with_a_clear_sentence() {
    let (folder, store) = open();
    let error = reopen(&folder).unwrap_err();
    assert!(matches!(error, StoreError::InUse));
    assert!(error.to_string().contains("another Parlor server"));
    drop(store);
    reopen(&folder).unwrap();
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let (folder, store) = open();
    let meta = store.history().disk.tree("meta").unwrap();
    meta.insert("format", (FORMAT + 1).to_be_bytes().as_slice()).unwrap();
    drop(meta);
    drop(store);
    let error = reopen(&folder).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found } if found == FORMAT + 1));
}

#[test]
fn a_database_that_disappeared_is_reported_and_not_quietly_replaced() {
    let (folder, store) = open();
    drop(store);
    std::fs::remove_dir_all(folder.path().join("data/sled")).unwrap();
    let error = reopen(&folder).unwrap_err();
    assert!(error.to_string().contains("restore the newest backup"), "{error}");
}

#[cfg(unix)]
#[test]
fn the_data_folder_and_all_files_in_it_are_for_their_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _store) = open();
    let check = |path: &Path, expected| {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{}", path.display());
    };
    let data = folder.path().join("data");
    check(&data, 0o700);
    for file in ["parlor.lock", "encryption.key", "sled/db", "sled/conf"] {
        check(&data.join(file), 0o600);
    }
    check(&data.join("sled"), 0o700);
}

#[tokio::test]
async fn a_store_dropped_without_closing_keeps_every_acknowledged_turn() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 20).await;
    // What a reader of the files would find now, before any shutdown.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder.path().join("data"), &copy.path().join("data"));
    drop(store);
    for folder in [&folder, &copy] {
        let store = reopen(folder).unwrap();
        assert_eq!(questions(store.history(), &key).await.len(), 20);
    }
}

#[tokio::test]
async fn a_torn_end_of_the_file_opens_or_is_reported_and_what_opens_is_a_beginning() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 40).await;
    drop(store);
    let end = used_end(&folder.path().join("data/sled/db"));
    for (torn, garble) in [(1, true), (100, true), (5_000, true), (1, false), (3_000, false)] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&folder.path().join("data"), &copy.path().join("data"));
        tear(&copy.path().join("data/sled/db"), end.saturating_sub(torn), garble);
        match reopen(&copy) {
            Err(error) => assert!(error.to_string().contains("restore"), "{torn}: {error}"),
            Ok(store) => match store.history().turns(key.clone(), None).await {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(turns) => {
                    let seqs: Vec<_> = turns.iter().map(|turn| turn.seq).collect();
                    assert_eq!(seqs, (0..turns.len() as u64).collect::<Vec<_>>());
                }
            },
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Where the file's last byte that is not zero ends.
fn used_end(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

fn tear(path: &Path, at: u64, garble: bool) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    if !garble {
        return file.set_len(at).unwrap();
    }
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_to_end(&mut tail).unwrap();
    tail.iter_mut().for_each(|byte| *byte ^= 0x5a);
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&tail).unwrap();
}
