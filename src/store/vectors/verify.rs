//! Do the collections on disk fit together, and what of them goes into a
//! backup? Nothing is changed, and upserts may go on meanwhile.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::FOLDER;
use super::format::{DOCUMENTS, VECTORS};
use super::load::{self, Unreadable};
use super::manifest::{self, Manifest};
use super::shelf::hash;
use crate::store::error::StoreError;
use crate::store::verify::Verification;

/// How often a collection is looked at again because an upsert changed it meanwhile.
const MAX_TRIES: usize = 8;

/// Looks at every byte of every collection below a data folder or a backup.
pub(in crate::store) fn verify(dir: &Path, found: &mut Verification) {
    for folder in collections(dir) {
        found.count("collections", 1);
        match check_patiently(&folder) {
            Ok(n_chunks) => found.count("chunks", n_chunks),
            Err(unreadable) => {
                let hash = folder.file_name().unwrap_or_default().to_string_lossy();
                let error = unreadable.of(&format!("{FOLDER}/{hash}"));
                let sentence = "collections of vectors cannot be read";
                found.problem("damagedVectors", sentence, error.to_string());
            }
        }
    }
}

/// The files of one collection, open, as they were at one moment, with their
/// paths below the folder of vectors. None of one that was never filled.
///
/// # Errors
/// [`StoreError::DamagedVectors`], [`StoreError::NewerVectors`], [`StoreError::Io`].
pub fn capture(folder: &Path) -> Result<Vec<(String, File)>, StoreError> {
    let hash = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let captured = patiently(folder, || open_all(folder, &hash));
    captured.map_err(|unreadable| unreadable.of(&format!("{FOLDER}/{hash}")))
}

/// The folders of all collections.
pub fn collections(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = dir.join(FOLDER).read_dir() else { return Vec::new() };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

fn open_all(folder: &Path, hash: &str) -> Result<Vec<(String, File)>, Unreadable> {
    let Some((manifest, mut file)) = Manifest::open(folder)? else { return Ok(Vec::new()) };
    file.seek(SeekFrom::Start(0))?;
    let mut files = Vec::new();
    for mark in manifest.segments.iter().map(|entry| &entry.mark) {
        for kind in [VECTORS, DOCUMENTS] {
            let path = kind.path(folder, &mark.name);
            files.push((format!("{hash}/{}.{}", mark.name, kind.ending), File::open(path)?));
        }
    }
    // Last, as it was written.
    files.push((format!("{hash}/{}", manifest::FILE), file));
    Ok(files)
}

fn check_patiently(folder: &Path) -> Result<u64, Unreadable> {
    patiently(folder, || check(folder))
}

/// Tries again where the manifest was replaced meanwhile: the files of the
/// last one may be gone then.
fn patiently<T>(folder: &Path, work: impl Fn() -> Result<T, Unreadable>) -> Result<T, Unreadable> {
    let manifest = || std::fs::read(folder.join(manifest::FILE)).ok();
    for _ in 1..MAX_TRIES {
        let before = manifest();
        match work() {
            Err(_) if manifest() != before => {}
            done => return done,
        }
    }
    work()
}

fn check(folder: &Path) -> Result<u64, Unreadable> {
    // What was never committed is no damage.
    let Some(manifest) = Manifest::read(folder)? else { return Ok(0) };
    let is_its_own = folder.file_name().is_some_and(|name| name == hash(&manifest.name).as_str());
    if !is_its_own {
        return Err(Unreadable::Damaged("its manifest is that of another collection"));
    }
    let mut n_chunks = 0;
    for entry in &manifest.segments {
        load::segment(folder, &entry.mark, manifest.n_dimensions)?;
        n_chunks += u64::from(entry.mark.rows) - entry.dead()?.count() as u64;
    }
    Ok(n_chunks)
}
