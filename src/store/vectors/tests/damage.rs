use std::path::Path;

use super::{IndexShelf, Place, chunk, ctx, found, hash, ids, upsert};
use crate::store::vectors::{capture, collections, verify};
use crate::store::verify::Verification;

/// Spoils a file in one of the ways that disks have.
fn spoil(path: &Path, how: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    match how {
        0 => bytes.truncate(bytes.len() - 1),
        1 => bytes.clear(),
        2 => bytes.push(0),
        _ => {
            let at = bytes.len() * (how - 2) / 8;
            bytes[at] ^= 0x5a;
        }
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_torn_or_garbled_file_is_reported_with_what_to_do_and_nothing_is_deleted() {
    for ending in ["vectors", "documents", "manifest"] {
        for how in 0..10 {
            let mut place = Place::new();
            let index = place.open("docs").await;
            let chunks = (1..=20).map(|id| chunk(id, &[1.0, id as f32], "text")).collect();
            upsert(&index, chunks, &[]).await;
            let other = place.open("other").await;
            upsert(&other, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;
            let files = place.files("docs");
            let name = files.iter().find(|name| name.ends_with(ending)).unwrap();
            drop((index, other));
            spoil(&place.folder("docs").join(name), how);
            place.restart();

            for _ in 0..2 {
                let Err(error) = place.shelf.open("docs").await else { panic!("{ending} {how}") };
                let text = error.to_string();
                assert!(text.contains("damaged") && text.contains("restore"), "{text}");
                assert!(text.contains(&hash("docs")) && !text.contains("tmp"), "{text}");
            }
            assert_eq!(place.files("docs"), files, "what may still be saved is kept");
            assert_eq!(found(&place.open("other").await).await, [1]);
        }
    }
}

#[tokio::test]
async fn a_file_of_a_newer_parlor_is_no_damage() {
    let mut place = Place::new();
    upsert(&place.open("docs").await, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;
    let vectors = place.files("docs").into_iter().find(|name| name.ends_with("vectors")).unwrap();
    let path = place.folder("docs").join(vectors);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    std::fs::write(path, bytes).unwrap();
    place.restart();
    let Err(error) = place.shelf.open("docs").await else { panic!("it was opened") };
    assert!(error.to_string().contains("newer Parlor"), "{error}");
}

#[tokio::test]
async fn where_nothing_can_be_written_the_error_names_no_path_and_the_old_data_stay() {
    let place = Place::new();
    let index = place.open("docs").await;
    upsert(&index, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;
    let moved = place.dir.path().join("elsewhere");
    std::fs::rename(place.folder("docs"), &moved).unwrap();
    std::fs::write(place.folder("docs"), "in the way").unwrap();

    let mut writer = index.writer(2).unwrap();
    let error = writer.put(vec![chunk(2, &[1.0, 0.0], "two")], &ctx()).await.unwrap_err();
    assert!(!error.to_string().contains(&place.dir.path().display().to_string()), "{error}");
    assert!(index.delete(&ids(&[1])).await.is_err());
    assert_eq!(found(&index).await, [1]);

    std::fs::remove_file(place.folder("docs")).unwrap();
    std::fs::rename(&moved, place.folder("docs")).unwrap();
    upsert(&index, vec![chunk(2, &[0.0, 1.0], "two")], &[]).await;
    assert_eq!(found(&index).await, [1, 2]);
}

#[tokio::test]
async fn a_backup_has_each_collection_of_one_moment_and_verifying_finds_what_is_wrong() {
    let place = Place::new();
    for (id, name) in [(1, "docs"), (2, "notes")] {
        upsert(&place.open(name).await, vec![chunk(id, &[1.0, 0.0], name)], &[]).await;
    }
    let captured: Vec<_> =
        collections(place.dir.path()).iter().flat_map(|folder| capture(folder).unwrap()).collect();
    // What follows is not in it, and removes files that are.
    let index = place.open("docs").await;
    upsert(&index, vec![chunk(1, &[1.0, 0.0], "newer"), chunk(3, &[1.0, 0.0], "new")], &[]).await;

    let copy = tempfile::tempdir().unwrap();
    for (path, mut file) in captured {
        let to = copy.path().join("vectors").join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::io::copy(&mut file, &mut std::fs::File::create(to).unwrap()).unwrap();
    }
    let look = |dir: &Path| {
        let mut found = Verification::default();
        verify(dir, &mut found);
        found
    };
    let sound = look(copy.path());
    assert!(sound.is_clean(), "{sound:?}");
    assert_eq!((sound.checked["collections"], sound.checked["chunks"]), (2, 2));
    assert_eq!(look(place.dir.path()).checked["chunks"], 3);
    let shelf = super::Shelf::new(copy.path());
    let restored = shelf.open("docs").await.unwrap();
    let hits = super::hits(&restored, &[1.0, 0.0]).await;
    assert_eq!(hits[0].document.page_content, "docs");

    let files = place.files("notes");
    let vectors = files.iter().find(|name| name.ends_with("vectors")).unwrap();
    spoil(&place.folder("notes").join(vectors), 5);
    let spoilt = look(place.dir.path());
    assert_eq!(spoilt.problems.len(), 1);
    assert!(spoilt.problems[0].examples[0].contains(&hash("notes")), "{spoilt:?}");
}
