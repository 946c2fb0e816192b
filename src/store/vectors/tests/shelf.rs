use futures::FutureExt;

use super::{IndexShelf, Place, Shelf, begin, chunk, ctx, found, upsert};

#[tokio::test]
async fn few_collections_stay_open_and_one_that_is_held_is_never_open_twice() {
    let place = Place::new();
    let shelf = Shelf::bounded(place.dir.path(), 2, usize::MAX);
    let held = shelf.open("0").await.unwrap();
    let unfinished = begin(&held, vec![chunk(1, &[1.0, 0.0], "late")]).await;
    for name in 1..6_u128 {
        let index = shelf.open(&name.to_string()).await.unwrap();
        upsert(&index, vec![chunk(name, &[1.0, 0.0], "text")], &[]).await;
    }
    // Opened anew while an upsert writes, it must not sweep that upsert's files.
    let again = shelf.open("0").await.unwrap();
    unfinished.commit(Vec::new(), &ctx()).await.unwrap();
    assert_eq!(found(&again).await, [1]);
    for name in 1..6_u128 {
        assert_eq!(found(&shelf.open(&name.to_string()).await.unwrap()).await, [name]);
    }
}

#[tokio::test]
async fn of_many_bytes_only_the_collection_that_was_used_last_stays_open() {
    let place = Place::new();
    let shelf = Shelf::bounded(place.dir.path(), 32, 1);
    for name in ["a", "b"] {
        upsert(&shelf.open(name).await.unwrap(), vec![chunk(1, &[1.0, 0.0], "text")], &[]).await;
        assert_eq!(found(&shelf.open(name).await.unwrap()).await, [1]);
    }

    assert!(!shelf.holds("a").await, "it was not used for the longest time");
    assert!(shelf.holds("b").await, "one of any size stays");
}

#[tokio::test]
async fn a_collection_whose_opener_has_left_is_read_to_its_end_and_only_once() {
    let mut place = Place::new();
    upsert(&place.open("a").await, vec![chunk(1, &[1.0, 0.0], "text")], &[]).await;
    place.restart();
    let nobody_is_done = place.shelf.delay();
    assert!(place.shelf.open("a").now_or_never().is_none(), "it is read by another thread");
    drop(nobody_is_done);

    assert!(place.shelf.holds("a").await, "who comes next waits for it and finds it open");
}

#[tokio::test]
async fn names_of_any_text_lie_in_the_folder_of_vectors_and_nowhere_else() {
    let mut place = Place::new();
    let names = ["", "..", "/etc", "a/../../b", "C:\\x", "名前", "nul\u{0}", &"long".repeat(5_000)];
    for (id, name) in names.iter().enumerate() {
        upsert(&place.open(name).await, vec![chunk(id as u128, &[1.0, 0.0], name)], &[]).await;
    }
    place.restart();
    for (id, name) in names.iter().enumerate() {
        assert_eq!(found(&place.open(name).await).await, [id as u128], "{name}");
    }
    let outside: Vec<_> = place.dir.path().read_dir().unwrap().collect();
    assert_eq!(outside.len(), 1);
    let inside = place.dir.path().join("vectors").read_dir().unwrap();
    assert_eq!(inside.count(), names.len());
}

#[tokio::test]
async fn the_collections_of_a_chatflow_are_removed_by_the_beginning_of_their_names() {
    let mut place = Place::new();
    for name in ["memory/a/1", "memory/a/2", "memory/ab/1", "faiss/memory/a/"] {
        upsert(&place.open(name).await, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;
    }
    place.restart();
    let held = place.open("memory/a/1").await;
    let unfinished = begin(&held, vec![chunk(2, &[1.0, 0.0], "two")]).await;

    assert_eq!(place.shelf.remove_prefix("memory/a/").await.unwrap(), 2);

    assert!(found(&held).await.is_empty());
    let error = unfinished.commit(Vec::new(), &ctx()).await.unwrap_err();
    assert!(error.to_string().contains("were deleted"), "{error}");
    assert!(!place.folder("memory/a/1").exists() && !place.folder("memory/a/2").exists());
    for name in ["memory/ab/1", "faiss/memory/a/"] {
        assert_eq!(found(&place.open(name).await).await, [1], "{name}");
    }
    let anew = place.open("memory/a/1").await;
    upsert(&anew, vec![chunk(3, &[1.0, 0.0], "three")], &[]).await;
    assert_eq!(found(&anew).await, [3]);
}

#[tokio::test]
async fn what_belongs_to_deleted_chatflows_is_swept_at_the_start() {
    let mut place = Place::new();
    for name in ["memory/gone/1", "memory/kept/1"] {
        upsert(&place.open(name).await, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;
    }
    place.restart();
    place.shelf.sweep(|name| name.contains("gone")).unwrap();
    assert!(found(&place.open("memory/gone/1").await).await.is_empty());
    assert_eq!(found(&place.open("memory/kept/1").await).await, [1]);
}
