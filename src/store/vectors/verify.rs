//! Does a collection on disk fit together? Nothing is changed.

use std::path::{Path, PathBuf};

use super::FOLDER;
use super::load::{self, Unreadable};
use super::manifest::Manifest;
use super::shelf::hash;

/// What was found of a collection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Checked {
    /// Chunks that are alive.
    pub(in crate::store) n_chunks: u64,
}

/// The folders of all collections.
pub(in crate::store) fn collections(data_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = data_dir.join(FOLDER).read_dir() else { return Vec::new() };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

/// Reads a collection, each byte of it.
///
/// # Errors
/// What is wrong, in a few words.
pub(in crate::store) fn check_collection(folder: &Path) -> Result<Checked, &'static str> {
    check(folder).map_err(|unreadable| match unreadable {
        Unreadable::Damaged(why) => why,
        Unreadable::Newer => "it was written by a newer Parlor",
        Unreadable::Io(_) => "it cannot be read",
    })
}

fn check(folder: &Path) -> Result<Checked, Unreadable> {
    // What was never committed is no damage.
    let Some(manifest) = Manifest::read(folder)? else { return Ok(Checked::default()) };
    let is_its_own = folder.file_name().is_some_and(|name| name == hash(&manifest.name).as_str());
    if !is_its_own {
        return Err(Unreadable::Damaged("its manifest is that of another collection"));
    }
    let mut checked = Checked::default();
    for entry in &manifest.segments {
        load::segment(folder, &entry.mark, manifest.n_dimensions)?;
        let n_dead = entry.dead()?.count();
        checked.n_chunks += u64::from(entry.mark.rows) - n_dead as u64;
    }
    Ok(checked)
}
