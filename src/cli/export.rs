//! `parlor export`: messages as lines of JSON.
#![allow(clippy::print_stderr, reason = "the lines may go to standard output")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use futures::StreamExt;

use super::client::{Client, Target, with_client};
use super::progress;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// How the messages are written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only those of this chatflow
    #[arg(long, value_name = "ID")]
    chatflow: Option<String>,
    /// Only those of this session
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// A new file to write; standard output otherwise
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// One JSON object a line for each message
    #[default]
    Ndjson,
}

pub(super) async fn run(data_dir: PathBuf, args: ExportArgs) -> anyhow::Result<u8> {
    let Format::Ndjson = args.format;
    let names = [("chatflow", &args.chatflow), ("session", &args.session)];
    let pairs: Vec<_> =
        names.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
    let path = format!("/api/v1/messages/export?{}", serde_urlencoded::to_string(pairs)?);
    with_client(&data_dir, &args.target, |client| async move {
        match &args.output {
            Some(output) => to_file(&client, &path, output).await,
            None => copy(&client, &path, &mut std::io::stdout().lock()).await,
        }
    })
    .await?;
    Ok(0)
}

/// The file has its name only when it is whole.
async fn to_file(client: &Client, path: &str, output: &Path) -> anyhow::Result<()> {
    let shown = output.display();
    anyhow::ensure!(!output.exists(), "{shown} exists already; name a new file");
    let unfinished = output.with_added_extension("unfinished");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut file: File = file.with_context(|| format!("cannot write {shown}"))?;
    let copied = copy(client, path, &mut file).await;
    let finished = copied.and_then(|()| {
        file.sync_all()?;
        Ok(std::fs::rename(&unfinished, output)?)
    });
    if finished.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    finished
}

async fn copy(client: &Client, path: &str, to: &mut impl Write) -> anyhow::Result<()> {
    let mut pieces = client.stream(path).await?.bytes_stream();
    let (bar, mut n_lines) = (progress::bytes("Exporting", None), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.context("the export broke off; look at the server's log")?;
        n_lines += piece.iter().filter(|byte| **byte == b'\n').count();
        to.write_all(&piece).context("cannot write the messages")?;
        bar.inc(piece.len() as u64);
    }
    to.flush()?;
    bar.finish_and_clear();
    eprintln!("{n_lines} messages exported");
    Ok(())
}
