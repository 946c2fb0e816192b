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
async fn p2_a_torn_end_of_the_file_opens_or_is_reported_and_what_opens_is_a_beginning() {
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

/// Ways in which a power cut, a bad disk or a bad copy leaves a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Cut off at this part of what is used.
    Cut(f64),
    /// Every byte changed from this part on.
    Garbled(f64),
    /// Zeros from this part on, as a file system leaves blocks it never wrote.
    Zeroed(f64),
    /// This many bytes changed in the middle, and the rest as it was.
    Hole(usize),
    /// Bytes of something else behind the end.
    Longer(usize),
}

impl Damage {
    fn make(self, path: &Path) {
        let mut bytes = std::fs::read(path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let at = |part: f64| (used as f64 * part) as usize;
        match self {
            Self::Cut(part) => bytes.truncate(at(part)),
            Self::Garbled(part) => bytes[at(part)..].iter_mut().for_each(|byte| *byte ^= 0x5a),
            Self::Zeroed(part) => bytes[at(part)..].fill(0),
            Self::Hole(n) => {
                let middle = used / 2;
                bytes[middle..(middle + n).min(used)].iter_mut().for_each(|byte| *byte ^= 0x5a);
            }
            Self::Longer(n) => bytes.extend(std::iter::repeat_n(0xa5, n)),
        }
        std::fs::write(path, bytes).unwrap();
    }
}

const DAMAGES: [Damage; 16] = [
    Damage::Cut(0.0),
    Damage::Cut(0.01),
    Damage::Cut(0.5),
    Damage::Cut(0.9),
    Damage::Cut(0.999),
    Damage::Garbled(0.0),
    Damage::Garbled(0.3),
    Damage::Garbled(0.9),
    Damage::Garbled(0.999),
    Damage::Zeroed(0.0),
    Damage::Zeroed(0.5),
    Damage::Zeroed(0.99),
    Damage::Hole(1),
    Damage::Hole(5_000),
    Damage::Longer(1),
    Damage::Longer(700_000),
];

/// Opens a damaged store and uses it: the turns that are left.
fn outcome(data: &Path, key: &SessionKey) -> Result<Vec<u64>, StoreError> {
    let store = Store::open(data, StoreOptions::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let turns = runtime.block_on(store.history().turns(key.clone(), None))?;
    // Whatever is left can be looked at and written to, or says why not.
    let _ = runtime.block_on(store.history().verify());
    let other = super::key(key.chatflow, "new");
    let _ = runtime.block_on(append(store.history(), &other, 0));
    Ok(turns.iter().map(|turn| turn.seq).collect())
}

#[test]
fn p2_every_file_of_the_store_may_be_damaged_and_it_opens_or_says_what_to_do_in_time() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(append_all(store.history(), &key, 200));
    drop(store);
    // Opened twice, so that there is a snapshot too.
    drop(open_in(&folder));
    let data = folder.path().join("data");
    let files = data.join("sled").read_dir().unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.path().is_file());
    let names: Vec<_> = files.map(|entry| entry.file_name()).collect();
    assert!(names.len() >= 3, "{names:?}");
    let mut n_opened = 0;
    for (name, damage) in names.iter().flat_map(|name| DAMAGES.map(|damage| (name, damage))) {
        let copy = tempfile::tempdir().unwrap();
        let data_copy = copy.path().join("data");
        copy_folder(&data, &data_copy);
        damage.make(&data_copy.join("sled").join(name));
        let (sender, receiver) = std::sync::mpsc::channel();
        let session = key.clone();
        let opening = std::thread::spawn(move || sender.send(outcome(&data_copy, &session)));
        // Far more than it takes: this tells a hang from a slow machine.
        let opened = receiver.recv_timeout(std::time::Duration::from_secs(60));
        let opened = opened.unwrap_or_else(|why| panic!("{name:?} {damage:?}: {why}"));
        opening.join().unwrap().unwrap();
        match opened {
            // A beginning of the conversation, never one with a turn missing in it.
            Ok(seqs) => {
                let expected: Vec<_> = (0..seqs.len() as u64).collect();
                assert_eq!(seqs, expected, "{name:?} {damage:?}");
                n_opened += 1;
            }
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains("backup"), "{name:?} {damage:?}: {said}");
            }
        }
    }
    assert!(n_opened > DAMAGES.len(), "only {n_opened} opened");
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
