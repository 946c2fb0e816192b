//! `parlor restore`: a new data folder from a backup.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::backup::KEY_FILE;
use super::progress;
use super::serve::EXAMPLE_MARK;
use crate::store::archive::{FileEntry, Line, Manifest};
use crate::store::{BackupItem, Restore, StoreError, verify_files};

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// Folder of the backup; --data-dir names the new data folder
    dir: PathBuf,
}

pub(super) fn run(data_dir: &Path, args: &RestoreArgs) -> anyhow::Result<u8> {
    let manifest = Manifest::read(&args.dir)?;
    let found = verify_files(&args.dir, &manifest)?;
    if let Some(problem) = found.problems.first() {
        let example = problem.examples.first().map_or("", String::as_str);
        bail!(
            "nothing was restored, because of the backup {} {}: {example}",
            problem.count,
            problem.sentence
        );
    }
    let restore = Restore::begin(data_dir)?;
    let has_credentials = fill(restore, &manifest, &args.dir, data_dir).with_context(|| {
        format!("the restore is not finished; remove {} and try again", data_dir.display())
    })?;
    println!("{} turns are restored to {}", manifest.counts.turns, data_dir.display());
    let has_key = manifest.files.iter().any(|file| file.name == KEY_FILE);
    if has_credentials && !has_key {
        println!("Put encryption.key of the old data folder into it before the server is started,");
        println!("or start with the secret that was used: the credentials were encrypted with it.");
    }
    Ok(0)
}

/// Puts everything in; whether there are credentials.
fn fill(
    mut restore: Restore,
    manifest: &Manifest,
    backup: &Path,
    data_dir: &Path,
) -> anyhow::Result<bool> {
    let n_bytes = manifest.files.iter().map(|file| file.bytes).sum();
    let bar = progress::bytes("Restoring", Some(n_bytes));
    let (mut n_rows, mut n_turns, mut has_credentials) = (0, 0, false);
    for file in &manifest.files {
        if file.is_lines() {
            file.for_each_line(backup, |line| {
                let unreadable = || StoreError::DamagedRecord {
                    what: format!("a line of {}", file.name),
                    why: "it cannot be read",
                };
                let item = line.and_then(Line::into_item).ok_or_else(unreadable)?;
                match &item {
                    BackupItem::Row { tree, .. } => {
                        n_rows += 1;
                        has_credentials |= tree == "credentials";
                    }
                    BackupItem::Turn { .. } => n_turns += 1,
                }
                restore.put(item)
            })?;
        } else {
            copy(file, backup, data_dir)?;
        }
        bar.inc(file.bytes);
    }
    let counts = manifest.counts;
    anyhow::ensure!((n_rows, n_turns) == (counts.rows, counts.turns), "rows or turns are missing");
    // What is restored has had its first start.
    std::fs::write(data_dir.join(EXAMPLE_MARK), b"")?;
    restore.finish()?;
    bar.finish_and_clear();
    Ok(has_credentials)
}

/// A file of its own: an upload, or the key.
fn copy(file: &FileEntry, backup: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let to = data_dir.join(&file.name);
    if let Some(parent) = to.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut from = std::fs::File::open(backup.join(&file.name))?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to)?;
    std::io::copy(&mut from, &mut copy)?;
    Ok(copy.sync_all()?)
}
