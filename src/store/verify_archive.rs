//! Looks whether a backup is as it was written and can be restored.

use std::path::Path;

use parlor_schemas::SessionKey;

use super::answers;
use super::archive::{FileEntry, Line, Manifest};
use super::backup::BackupItem;
use super::error::StoreError;
use super::record;
use super::vectors;
use super::verify::Verification;

/// Checks every file of a backup against the manifest, and every line.
///
/// # Errors
/// [`StoreError::NoBackup`], [`StoreError::NewerBackup`], or when a file
/// cannot be read.
pub fn verify_backup(backup: &Path) -> Result<Verification, StoreError> {
    let manifest = Manifest::read(backup)?;
    let mut found = verify_files(backup, &manifest)?;
    let mut lines = Lines::default();
    for file in manifest.line_files().filter(|file| backup.join(&file.name).is_file()) {
        file.for_each_line(backup, |line| {
            lines.take(line, file, &mut found);
            Ok(())
        })?;
    }
    vectors::verify(backup, &mut found);
    found.count("rows", lines.n_rows);
    found.count("turns", lines.n_turns);
    if (lines.n_rows, lines.n_turns) != (manifest.counts.rows, manifest.counts.turns) {
        let sentence = "the files hold another number of rows or turns than the manifest says";
        let example = format!("{} rows and {} turns", lines.n_rows, lines.n_turns);
        found.problem("wrongCount", sentence, example);
    }
    for _ in 0..manifest.counts.damaged {
        let sentence = "turns were damaged when the backup was made and are not in it";
        found.note("damagedAtBackup", sentence, "see parlor verify".to_owned());
    }
    Ok(found)
}

/// The files alone: all there, each of its length and checksum.
///
/// # Errors
/// When a file cannot be read.
pub fn verify_files(backup: &Path, manifest: &Manifest) -> Result<Verification, StoreError> {
    let mut found = Verification::default();
    for file in &manifest.files {
        found.count("files", 1);
        let (kind, sentence) = match file.is_whole(backup)? {
            Some(true) => continue,
            Some(false) => ("wrongChecksum", "files are not as they were written"),
            None => ("missingFile", "files are missing"),
        };
        found.problem(kind, sentence, file.name.clone());
    }
    Ok(found)
}

/// What is remembered from one line to the next.
#[derive(Default)]
struct Lines {
    n_rows: u64,
    n_turns: u64,
    last: Option<(SessionKey, u64)>,
}

impl Lines {
    fn take(&mut self, line: Option<Line>, file: &FileEntry, found: &mut Verification) {
        match line.and_then(Line::into_item) {
            None => {
                let sentence = "lines cannot be read";
                found.problem("unreadableLine", sentence, file.name.clone());
            }
            Some(BackupItem::Row { .. }) => self.n_rows += 1,
            Some(BackupItem::Turn { key, seq, record, answer }) => {
                self.n_turns += 1;
                if record::decode(&record).is_err() {
                    let sentence = "turns cannot be read";
                    found.problem("damagedTurn", sentence, format!("turn {seq}, {}", file.name));
                }
                if answer.is_some_and(|bytes| answers::decode(&bytes).is_none()) {
                    let sentence = "answers that are kept for an Idempotency-Key cannot be read";
                    found.problem("damagedAnswer", sentence, format!("turn {seq}, {}", file.name));
                }
                let is_next = match &self.last {
                    Some((last, last_seq)) if *last == key => *last_seq < seq,
                    _ => true,
                };
                if !is_next {
                    let sentence = "turns are not in the order of their conversation";
                    found.problem("wrongOrder", sentence, format!("turn {seq}, {}", file.name));
                }
                self.last = Some((key, seq));
            }
        }
    }
}
