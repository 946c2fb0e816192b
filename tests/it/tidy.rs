//! The rules of the house that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder whose names end so, without build output and packages.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let not_ours = ["target", "node_modules", ".venv", "fixtures", ".git"];
                if !not_ours.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    files(folder, &[".rs"])
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Lines of code, comments left out, that name one of these crates.
fn lines_that_name(folder: &str, crates: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in rust_files(folder) {
        for (index, line) in read(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let names = |name: &str| {
                code.contains(&format!("{name}::")) || code.contains(&format!("use {name};"))
            };
            if crates.iter().any(|name| names(name)) {
                found.push(format!("{}:{}: {}", shown(&path), index + 1, line.trim()));
            }
        }
    }
    found
}

/// The names in the `[dependencies]` table of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = read(&root().join(manifest));
    let table = text.split("[dependencies]\n").nth(1).unwrap_or("");
    let table = table.split("\n[").next().unwrap_or("");
    let names = table.lines().filter_map(|line| line.split(['=', '.']).next());
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn assert_nothing_upward(folder: &str, manifest: &str, crates: &[&str]) {
    let named = lines_that_name(folder, crates);
    assert!(named.is_empty(), "{folder} knows too much: {named:#?}");
    let dependencies = dependencies(manifest);
    assert!(!dependencies.is_empty(), "no dependencies were read from {manifest}");
    for name in crates {
        let package = name.replace('_', "-");
        assert!(!dependencies.contains(&package), "{manifest} depends on {package}");
    }
}

#[test]
fn the_wire_types_know_no_other_room() {
    let above =
        ["parlor", "parlor_actors", "parlor_nodes", "actix", "actix_web", "sled", "reqwest"];
    assert_nothing_upward("schemas/src", "schemas/Cargo.toml", &above);
}

#[test]
fn the_actors_know_neither_http_nor_nodes_nor_the_disk() {
    let above = ["parlor", "parlor_nodes", "actix_web", "sled", "reqwest"];
    assert_nothing_upward("actors/src", "actors/Cargo.toml", &above);
}

#[test]
fn the_nodes_know_neither_actors_nor_http_serving_nor_the_disk() {
    let above = ["parlor", "parlor_actors", "actix", "actix_web", "actix_rt", "sled"];
    assert_nothing_upward("src/nodes", "src/nodes/Cargo.toml", &above);
}

#[test]
fn every_file_of_a_node_category_is_listed_in_its_mod_rs() {
    let mut n_listed = 0;
    let entries = fs::read_dir(root().join("src/nodes")).unwrap();
    for folder in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let list = read(&folder.join("mod.rs"));
        let folder = format!("src/nodes/{}", folder.file_name().unwrap().to_string_lossy());
        for file in rust_files(&folder) {
            let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
            if stem == "mod" || file.parent() != Some(&root().join(&folder)) {
                continue;
            }
            let declared = list.lines().any(|line| {
                let line = line.trim();
                let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
                line.strip_prefix("pub ").unwrap_or(line) == format!("mod {stem};")
            });
            assert!(declared, "{} is not in its mod.rs", shown(&file));
            n_listed += 1;
        }
    }
    assert!(n_listed > 0, "no node was found");
}

#[test]
fn no_file_is_too_long_for_one_mind() {
    let folders = ["schemas", "actors", "src", "tests", "benches"];
    let files = folders.into_iter().flat_map(rust_files);
    let long: Vec<_> = files
        .map(|path| (shown(&path), read(&path).lines().count()))
        .filter(|(_, n_lines)| *n_lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines, what second thing is in there? {long:?}");
}

#[test]
fn every_room_explains_itself_in_its_first_line() {
    let folders = ["schemas/src", "actors/src", "src", "tests"];
    let files = folders.into_iter().flat_map(rust_files);
    // A room's own tests are explained by their names.
    let rooms = files.filter(|path| {
        let shown = shown(path);
        !shown.ends_with("tests.rs") && !shown.contains("/tests/")
    });
    let silent: Vec<_> = rooms.filter(|path| !read(path).starts_with("//!")).collect();
    let silent: Vec<_> = silent.iter().map(|path| shown(path)).collect();
    assert!(silent.is_empty(), "no word about what they are for: {silent:?}");
}

#[test]
fn no_source_names_a_path_of_somebodys_machine() {
    // Put together here, so that this file does not name one itself.
    let homes = ["root", "home", "work", "Users"].map(|name| format!("/{name}/"));
    let folders = ["schemas", "actors", "src", "tests", "benches", "deploy", ".ci"];
    let endings = [".rs", ".toml", ".sh", ".js", ".mjs", ".py", ".json", "run"];
    let files = folders.into_iter().flat_map(|folder| files(folder, &endings));
    for path in files.chain([root().join("Cargo.toml"), root().join("deny.toml")]) {
        for (index, line) in read(&path).lines().enumerate() {
            let named = homes.iter().any(|home| {
                line.contains(&format!("\"{home}")) || line.contains(&format!(" {home}"))
            });
            assert!(!named, "{}:{}: {}", shown(&path), index + 1, line.trim());
        }
    }
}

#[test]
fn the_lock_of_the_node_packages_names_no_host() {
    let lock = read(&root().join("tests/package-lock.json"));
    assert!(!lock.contains("\"resolved\""), "a package is bound to a host");
    // Authors' pages for donations are all that may be named.
    let lines = lock.lines().filter(|line| line.contains("://"));
    let other: Vec<_> = lines.filter(|line| !line.trim().starts_with("\"url\": ")).collect();
    assert!(other.is_empty(), "a host is named: {other:?}");
}
