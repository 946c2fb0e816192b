use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Keeper, folder_files, loader_of, turn_with};
use crate::error::NodeError;
use crate::retrieval::Loaded;
use crate::test_support::{inputs, source};

/// A root with a folder of files, and a secret beside it.
struct Place {
    _all: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

fn place() -> Place {
    let all = tempfile::tempdir().unwrap();
    let (root, outside) = (all.path().join("root"), all.path().join("outside"));
    fs::create_dir_all(root.join("docs/sub/deep")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("secret.txt"), "secret").unwrap();
    for (name, text) in [
        ("b.txt", "b"),
        ("a.md", "a"),
        ("main.rs", "fn main() {}"),
        ("a.csv", "n\n1\n"),
        ("photo.png", "x"),
        ("none", "x"),
        (".hidden.txt", "x"),
        ("broken.pdf", "x"),
        ("sub/c.txt", "c"),
        ("sub/deep/d.json", "[\"d\"]"),
    ] {
        fs::write(root.join("docs").join(name), text).unwrap();
    }
    symlink(outside.join("secret.txt"), root.join("docs/link.txt")).unwrap();
    symlink(&outside, root.join("docs/away")).unwrap();
    Place { _all: all, root, outside }
}

async fn load(path: &Path, recursive: &str, roots: Vec<PathBuf>) -> Result<Loaded, NodeError> {
    let path = source(path.to_str().unwrap());
    let given = inputs([("folderPath", path), ("recursive", source(recursive))]);
    let turn = turn_with(Keeper { roots, ..Keeper::default() });
    loader_of(&folder_files::SPEC, &given).load(&turn).await
}

#[tokio::test]
async fn the_files_of_a_folder_are_read_in_order_by_their_kinds() {
    let place = place();
    let roots = || vec![place.root.clone()];

    let flat = load(&place.root.join("docs"), "", roots()).await.unwrap();
    let all = load(Path::new("docs"), "true", roots()).await.unwrap();

    let texts = |loaded: &Loaded| -> Vec<String> {
        loaded.documents.iter().map(|document| document.page_content.clone()).collect()
    };
    assert_eq!(texts(&flat), ["n: 1", "a", "b", "fn main() {}"]);
    assert_eq!(texts(&all), ["n: 1", "a", "b", "fn main() {}", "c", "d"]);
    let metadata = serde_json::to_value(&all.documents[4].metadata).unwrap();
    assert_eq!(metadata, json!({"source": "sub/c.txt"}), "no path of the server is told");
    assert_eq!(all.n_files, 6);
    let failed: Vec<_> = all.failures.iter().map(|failure| failure.name.as_str()).collect();
    assert_eq!(failed, ["broken.pdf"]);
}

#[tokio::test]
async fn nothing_outside_of_the_roots_is_opened() {
    let place = place();
    let docs = place.root.join("docs");
    for (path, part) in [
        (place.outside.clone(), "is no folder below"),
        (docs.join("../../outside"), "must not contain .."),
        (PathBuf::from("../outside"), "must not contain .."),
        (docs.join("away"), "is no folder below"),
        (docs.join("a.md"), "is no folder below"),
        (PathBuf::from("/"), "is no folder below"),
        (place.root.join("missing"), "is no folder below"),
        (PathBuf::new(), "is empty"),
    ] {
        let error = load(&path, "true", vec![place.root.clone()]).await.unwrap_err().to_string();
        assert!(error.contains(part), "{}: {error}", path.display());
    }
    let closed = load(&docs, "true", Vec::new()).await.unwrap_err().to_string();
    assert!(closed.contains("--loader-root"), "{closed}");
}

#[tokio::test]
async fn a_folder_of_too_many_files_is_refused() {
    let place = place();
    for at in 0..=crate::files::MAX_FILES {
        fs::write(place.root.join(format!("{at}.txt")), "x").unwrap();
    }

    let error = load(&place.root, "", vec![place.root.clone()]).await.unwrap_err();

    assert!(error.to_string().contains("too many files"), "{error}");
}

#[tokio::test]
async fn folders_that_are_not_looked_through_are_told() {
    let place = place();
    let deep: PathBuf = (0..40).map(|at| format!("{at}")).collect();
    fs::create_dir_all(place.root.join(&deep)).unwrap();
    fs::write(place.root.join(&deep).join("a.txt"), "x").unwrap();

    let flat = load(&place.root, "", vec![place.root.clone()]).await.unwrap();
    let all = load(&place.root, "true", vec![place.root.clone()]).await.unwrap();

    assert_eq!(flat.failures, []);
    let told = all.failures.iter().filter(|failure| failure.name != "docs/broken.pdf");
    let deepest: PathBuf = deep.components().take(33).collect();
    let expected = (deepest.to_str().unwrap(), "lies too deep inside of other folders");
    let told: Vec<_> = told.map(|told| (told.name.as_str(), told.problem.as_str())).collect();
    assert_eq!(told, [expected]);
}

#[test]
fn no_request_chooses_the_folder() {
    let params = folder_files::SPEC.params.iter();
    let closed: Vec<_> = params.filter(|param| !param.open).map(|param| param.name).collect();
    assert_eq!(closed, ["folderPath", "recursive", "textSplitter"]);
}
