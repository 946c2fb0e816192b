//! Looks whether everything in a store fits together: every record matches
//! its checksum, every index entry leads to its record and every record is in
//! its indexes. It changes nothing and may run while turns are written.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use parlor_schemas::feedback::Lead;
use parlor_schemas::{UpsertJob, UpsertRecord};
use serde::{Deserialize, Serialize};

use super::deletions::Deletions;
use super::disk::Disk;
use super::error::StoreError;
use super::history::History;
use super::lock::{FolderLock, make_private_folder};
use super::verify_turns::Check;
use super::{
    FORMAT_KEY, HISTORY, META, TABLES, chunk_ledger, feedback, table, vectors, verify_rows,
};

/// Keys that are looked at before somebody else may have the disk.
const KEYS_A_SLICE: usize = 512;

/// Examples that a finding names.
const MAX_EXAMPLES: usize = 5;

/// Bytes of pages that sled may keep while a copy is looked at.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// One kind of thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A word for scripts.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// What it means, for people.
    pub sentence: String,
    /// The first few places.
    pub examples: Vec<String>,
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Things looked at, by kind.
    pub checked: BTreeMap<String, u64>,
    /// What is wrong.
    pub problems: Vec<Finding>,
    /// What is worth knowing but not wrong.
    pub notes: Vec<Finding>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Counts things that were looked at.
    pub fn count(&mut self, what: &str, n: u64) {
        match self.checked.get_mut(what) {
            Some(count) => *count += n,
            None => drop(self.checked.insert(what.to_owned(), n)),
        }
    }

    /// Adds something that is wrong.
    pub fn problem(&mut self, kind: &str, sentence: &str, example: String) {
        add(&mut self.problems, kind, sentence, example);
    }

    /// Adds something worth knowing.
    pub fn note(&mut self, kind: &str, sentence: &str, example: String) {
        add(&mut self.notes, kind, sentence, example);
    }
}

fn add(findings: &mut Vec<Finding>, kind: &str, sentence: &str, example: String) {
    let at = findings.iter().position(|finding| finding.kind == kind).unwrap_or_else(|| {
        let (kind, sentence) = (kind.to_owned(), sentence.to_owned());
        findings.push(Finding { kind, count: 0, sentence, examples: Vec::new() });
        findings.len() - 1
    });
    let finding = &mut findings[at];
    finding.count += 1;
    if finding.examples.len() < MAX_EXAMPLES {
        finding.examples.push(example);
    }
}

/// A look at the history that goes on slice by slice.
#[derive(Debug, Default)]
struct Progress {
    found: Verification,
    check: Check,
    reached: Option<Vec<u8>>,
}

impl Progress {
    /// The next slice; true when it was the last.
    fn slice(&mut self, tree: &sled::Tree, deletions: &Deletions) -> Result<bool, StoreError> {
        let from = match self.reached.take() {
            None => Bound::Unbounded,
            Some(key) => Bound::Excluded(key),
        };
        let rows = tree.range::<Vec<u8>, _>((from, Bound::Unbounded)).take(KEYS_A_SLICE);
        for row in rows {
            let (key, value) = row.map_err(StoreError::read)?;
            self.check.row(tree, deletions, &key, &value, &mut self.found)?;
            self.reached = Some(key.to_vec());
        }
        Ok(self.reached.is_none())
    }
}

impl History {
    /// Looks at everything in the store.
    ///
    /// # Errors
    /// Those of reading, but not a damaged record: that is found.
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        let mut progress = Progress::default();
        loop {
            let slice = self.blocking(move |history| {
                let is_last = progress.slice(&history.tree()?, &history.deletions)?;
                Ok((progress, is_last))
            });
            let is_last;
            (progress, is_last) = slice.await?;
            if is_last {
                break;
            }
        }
        self.blocking(move |history| {
            verify_tables(&history.disk, &mut progress.found)?;
            Ok(progress.found)
        })
        .await
    }
}

fn verify_tables(disk: &Disk, found: &mut Verification) -> Result<(), StoreError> {
    for name in disk.tree_names()? {
        let tree = disk.tree(&name)?;
        match name.as_str() {
            HISTORY | META => {}
            "feedback" => verify_rows::verify::<feedback::Stored>(&tree, &name, found)?,
            "leads" => verify_rows::verify::<Lead>(&tree, &name, found)?,
            "upsert_jobs" => verify_rows::verify::<UpsertJob>(&tree, &name, found)?,
            "upsert_history" => verify_rows::verify::<UpsertRecord>(&tree, &name, found)?,
            chunk_ledger::TREE => chunk_ledger::verify(&tree, found)?,
            table if TABLES.contains(&table) => table::verify(&tree, &name, found)?,
            _ => found.note("unknownTree", "trees that this version does not know", name),
        }
    }
    Ok(())
}

/// Looks at a data folder that no server uses. A copy of the database in the
/// system's temporary folder is looked at, because opening one changes it.
///
/// # Errors
/// [`StoreError::NoStore`], [`StoreError::InUse`], [`StoreError::Io`]. A
/// database that cannot be opened is a finding.
pub fn verify_folder(data_dir: &Path) -> Result<Verification, StoreError> {
    if !data_dir.join("parlor.lock").is_file() {
        return Err(StoreError::NoStore);
    }
    let _lock = FolderLock::take(data_dir)?;
    let copy = Copy::of(&data_dir.join("sled"))?;
    let mut progress = Progress::default();
    if let Err(error) = verify_copy(&copy.0, &mut progress) {
        let sentence = "the database cannot be opened or read to its end";
        progress.found.problem("unreadable", sentence, error.to_string());
    }
    vectors::verify(data_dir, &mut progress.found);
    Ok(progress.found)
}

fn verify_copy(folder: &Path, progress: &mut Progress) -> Result<(), StoreError> {
    let disk = Disk::open(folder.to_owned(), CACHE_BYTES)?;
    if disk.tree(META)?.get(FORMAT_KEY).map_err(StoreError::read)?.is_none() {
        return Err(StoreError::Damaged { why: "its files are missing or empty", source: None });
    }
    let tree = disk.tree(HISTORY)?;
    let deletions = Deletions::default();
    deletions.reload(&tree)?;
    while !progress.slice(&tree, &deletions)? {}
    verify_tables(&disk, &mut progress.found)
}

/// A copy of a folder of files; it is removed when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(folder: &Path) -> Result<Self, StoreError> {
        let doing = StoreError::io("copying the database to the temporary folder");
        let copy = std::env::temp_dir().join(format!("parlor-verify-{}", uuid::Uuid::new_v4()));
        make_private_folder(&copy)?;
        let copy = Self(copy);
        let Ok(entries) = folder.read_dir() else { return Ok(copy) };
        for entry in entries {
            let entry = entry.map_err(&doing)?;
            if entry.file_type().map_err(&doing)?.is_file() {
                std::fs::copy(entry.path(), copy.0.join(entry.file_name())).map_err(&doing)?;
            }
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays behind is in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
