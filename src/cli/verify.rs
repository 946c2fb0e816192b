//! `parlor verify`: is everything there, and does it fit together?
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Method;

use super::client::{Target, with_client};
use crate::app::Application;
use crate::store::archive::MANIFEST;
use crate::store::{Finding, Verification, verify_backup, verify_folder};

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A backup or a data folder; that of --data-dir otherwise. Where no server
    /// runs, a copy in the temporary folder is looked at
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(data_dir: PathBuf, args: VerifyArgs) -> anyhow::Result<u8> {
    let dir = args.dir.clone().unwrap_or(data_dir);
    let found = if dir.join(MANIFEST).is_file() {
        verify_backup(&dir)?
    } else if args.target.is_remote() || has_server(&dir).await {
        let found = with_client(&dir, &args.target, |client| async move {
            client.call(Method::GET, "/api/v1/verify", None).await
        });
        serde_json::from_value(found.await?)?
    } else {
        verify_folder(&dir)?
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        show(&found);
    }
    Ok(u8::from(!found.is_clean()))
}

/// Whether a server runs on the folder; one that is started for this command
/// alone would change it.
pub(super) async fn has_server(data_dir: &Path) -> bool {
    tokio::net::UnixStream::connect(Application::socket_path(data_dir)).await.is_ok()
}

fn show(found: &Verification) {
    let checked: Vec<_> =
        found.checked.iter().map(|(what, n)| format!("{n} {}", words(what))).collect();
    println!("Checked: {}", checked.join(", "));
    found.problems.iter().for_each(|problem| println!("WRONG  {}", sentence(problem)));
    found.notes.iter().for_each(|note| println!("note   {}", sentence(note)));
    if found.is_clean() {
        println!("Nothing is wrong.");
    }
}

fn sentence(finding: &Finding) -> String {
    let examples = finding.examples.join("; ");
    format!("{} {} ({examples})", finding.count, finding.sentence)
}

/// `indexEntries` as people write it.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
