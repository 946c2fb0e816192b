//! `parlor migrate`: moves in from Flowise. Reads an installation without
//! touching it and hands its rows to the import routes; what exists is left
//! as it is, so that it can be run again.
//!
//! # Layout
//! - `source`: what belongs to an installation; `database`, `export`: its
//!   tables, from SQLite or from an instance export; `secret`: its encryption
//! - `rows`, `messages`, `pairing`, `uploads`: its rows and files as those of Parlor
//! - `sink`, `report`: where they go and what became of them
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

mod database;
mod export;
mod messages;
mod mover;
mod pairing;
mod report;
mod rows;
mod secret;
mod sink;
mod source;
mod uploads;

use std::path::PathBuf;

use clap::Args;

use super::client::{Target, with_client};
use mover::Mover;
use sink::Sink;
use source::Source;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Flowise's folder, its database.sqlite, or an ExportData.json
    #[arg(long, value_name = "DIR_OR_FILE")]
    flowise: PathBuf,
    /// Flowise's encryption.key, where it is not beside the database
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// Say what would come and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Moves in. The exit code is 1 where something that has a place here did not come.
pub(super) async fn run(data_dir: PathBuf, args: MigrateArgs) -> anyhow::Result<u8> {
    let source = Source::open(&args.flowise, args.secret.as_deref())?;
    let report = if args.dry_run {
        Mover::new(&source, Sink::Nowhere).run().await?
    } else {
        let source = &source;
        with_client(&data_dir, &args.target, |client| async move {
            Mover::new(source, Sink::Server(client)).run().await
        })
        .await?
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.table());
    }
    Ok(u8::from(!report.is_complete()))
}
