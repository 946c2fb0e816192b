use std::os::unix::fs::symlink;
use std::path::PathBuf;

use parlor_schemas::{ChatId, ChatflowId};
use tempfile::TempDir;

use super::*;

struct Place {
    data: TempDir,
    blobs: Blobs,
    chatflow: ChatflowId,
    folder: BlobFolder,
}

impl Place {
    fn with_quota(quota: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let chatflow = ChatflowId::random();
        let folder = BlobFolder::of(chatflow, &ChatId::parse("chat-1").unwrap());
        Self { blobs: Blobs::open(data.path(), quota).unwrap(), data, chatflow, folder }
    }

    fn put(&self, text: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.blobs.stage(&self.folder, &name(text), bytes)?.keep()
    }

    fn read(&self, text: &str) -> Option<Vec<u8>> {
        self.blobs.read(&self.folder, &name(text), 1 << 20).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.data.path().join("blobs").join(&self.folder.chatflow).join(&self.folder.chat)
    }

    fn n_staged(&self) -> usize {
        self.data.path().join("blobs/staging").read_dir().unwrap().count()
    }
}

fn name(text: &str) -> BlobName {
    BlobName::of_upload(text).unwrap()
}

#[test]
fn a_file_is_there_once_it_is_kept_and_a_second_of_its_name_replaces_it() {
    let place = Place::with_quota(0);
    let staged = place.blobs.stage(&place.folder, &name("a.txt"), b"one").unwrap();
    assert_eq!(place.read("a.txt"), None);
    staged.keep().unwrap();
    assert_eq!(place.read("a.txt").unwrap(), b"one");
    place.put("a.txt", b"two").unwrap();
    assert_eq!(place.read("a.txt").unwrap(), b"two");
    assert_eq!(place.n_staged(), 0);
}

#[test]
fn a_file_that_is_not_kept_leaves_nothing() {
    let place = Place::with_quota(0);
    drop(place.blobs.stage(&place.folder, &name("a.txt"), b"one").unwrap());
    assert_eq!((place.read("a.txt"), place.n_staged()), (None, 0));
    assert!(!place.blobs.has_files(place.chatflow));
}

#[test]
fn a_note_lies_beside_its_file_where_no_name_reaches_it() {
    let place = Place::with_quota(0);
    let note = place.blobs.stage_note(&place.folder, &name("a.pdf"), "words").unwrap();
    note.keep().unwrap();
    let found = place.blobs.read_note(&place.folder, &name("a.pdf"), 100).unwrap();
    assert_eq!(found.unwrap(), b"words");
    assert_eq!(place.read("a.pdf"), None);
    assert_eq!(place.read(".note.a.pdf"), None);
}

#[test]
fn what_a_crash_left_in_staging_is_gone_after_the_next_start() {
    let place = Place::with_quota(0);
    std::mem::forget(place.blobs.stage(&place.folder, &name("a.txt"), b"half").unwrap());
    place.put("b.txt", b"whole").unwrap();
    assert_eq!(place.n_staged(), 1);
    Blobs::open(place.data.path(), 0).unwrap();
    assert_eq!(place.n_staged(), 0);
    assert_eq!(place.read("b.txt").unwrap(), b"whole");
}

#[test]
fn links_are_not_followed_wherever_they_lie() {
    let place = Place::with_quota(0);
    place.put("real.txt", b"mine").unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.txt"), b"secret").unwrap();

    symlink(outside.path().join("secret.txt"), place.path().join("link.txt")).unwrap();
    assert_eq!(place.read("link.txt"), None);

    let other = BlobFolder::of(place.chatflow, &ChatId::parse("other").unwrap());
    let link = place.path().with_file_name(&other.chat);
    symlink(outside.path(), &link).unwrap();
    let found = place.blobs.read(&other, &name("secret.txt"), 100).unwrap();
    assert_eq!(found, None);
    let staged = place.blobs.stage(&other, &name("new.txt"), b"x").unwrap();
    assert!(staged.keep().is_err());
    assert!(!outside.path().join("new.txt").exists());

    place.blobs.remove_chatflow(place.chatflow).unwrap();
    assert!(outside.path().join("secret.txt").exists(), "what a link points to was deleted");
    assert!(!place.blobs.has_files(place.chatflow));
}

#[test]
fn a_pipe_or_a_folder_in_place_of_a_file_is_no_file() {
    let place = Place::with_quota(0);
    place.put("real.txt", b"mine").unwrap();
    std::fs::create_dir(place.path().join("folder.txt")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path().join("pipe.txt"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    assert_eq!((place.read("folder.txt"), place.read("pipe.txt")), (None, None));
}

#[test]
fn removing_one_chat_leaves_the_others() {
    let place = Place::with_quota(0);
    place.put("a.txt", b"one").unwrap();
    let other = BlobFolder::of(place.chatflow, &ChatId::parse("chat-11").unwrap());
    place.blobs.stage(&other, &name("a.txt"), b"other").unwrap().keep().unwrap();
    place.blobs.remove_chat(&place.folder).unwrap();
    assert_eq!(place.read("a.txt"), None);
    assert_eq!(place.blobs.read(&other, &name("a.txt"), 100).unwrap().unwrap(), b"other");
}

#[test]
fn the_files_of_a_chatflow_that_is_gone_are_swept() {
    let place = Place::with_quota(0);
    place.put("a.txt", b"one").unwrap();
    place.blobs.sweep(|_| false).unwrap();
    assert!(place.blobs.has_files(place.chatflow));
    place.blobs.sweep(|id| id == place.chatflow).unwrap();
    assert!(!place.blobs.has_files(place.chatflow));
}

#[test]
fn the_quota_counts_what_lies_there_and_is_given_back() {
    let place = Place::with_quota(10);
    place.put("a.txt", b"12345678").unwrap();
    assert!(matches!(place.put("b.txt", b"123"), Err(StoreError::OverQuota)));
    // A file of the same name takes the place of the old one in the count too.
    place.put("c.txt", b"12").unwrap();
    place.put("c.txt", b"").unwrap();
    place.put("b.txt", b"12").unwrap();

    let again = Blobs::open(place.data.path(), 10).unwrap();
    let refused = again.stage(&place.folder, &name("d.txt"), b"1");
    assert!(matches!(refused, Err(StoreError::OverQuota)));
    again.remove_chat(&place.folder).unwrap();
    again.stage(&place.folder, &name("d.txt"), b"0123456789").unwrap().keep().unwrap();
}
