//! `parlor import-messages`: what `parlor export` wrote, back in.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use futures::stream;
use reqwest::{Body, Method};
use serde_json::Value;
use tokio::sync::mpsc;

use super::client::{Target, refusal, with_client};
use super::progress;

const PIECE_BYTES: usize = 64 * 1024;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct ImportMessagesArgs {
    /// File of lines, as `parlor export` writes it
    file: PathBuf,
    /// Chatflow to store them under, in place of the lines' own
    #[arg(long, value_name = "ID")]
    chatflow: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(data_dir: PathBuf, args: ImportMessagesArgs) -> anyhow::Result<u8> {
    let shown = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot read {shown}"))?;
    let chatflow = args.chatflow.iter().map(|id| ("chatflow", id)).collect::<Vec<_>>();
    let path = format!("/api/v1/messages/import?{}", serde_urlencoded::to_string(chatflow)?);
    let report = with_client(&data_dir, &args.target, |client| async move {
        let request = client.request(Method::POST, &path);
        let request = request.header("Content-Type", "application/x-ndjson");
        let response = request.body(body_of(file)?).send().await;
        let response = response.context("the server cannot be reached, or broke the import off; it can be repeated without harm")?;
        let is_good = response.status().is_success();
        let text = response.text().await?;
        if !is_good {
            bail!(
                "{}; what came before is stored, and importing again does no harm",
                refusal(&text)
            );
        }
        Ok(serde_json::from_str::<Value>(&text)?)
    });
    let report = report.await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        show(&report);
    }
    Ok(u8::from(report["refused"] != 0))
}

/// The file as a body, a few pieces in memory at a time.
fn body_of(mut file: File) -> anyhow::Result<Body> {
    let bar = progress::bytes("Importing", Some(file.metadata()?.len()));
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(2);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece).map(|n_read| {
                piece.truncate(n_read);
                Bytes::from(piece)
            });
            let n_read = read.as_ref().map_or(0, Bytes::len);
            bar.inc(n_read as u64);
            // The end of the file is sent as an empty piece, which changes nothing, and
            // an error as an error, so that nobody takes the body for whole.
            if sender.blocking_send(read).is_err() || n_read == 0 {
                break;
            }
        }
        bar.finish_and_clear();
    });
    let pieces = stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    Ok(Body::wrap_stream(pieces))
}

fn show(report: &Value) {
    println!(
        "{} messages imported, {} skipped because they are there already, {} lines refused",
        report["imported"], report["skipped"], report["refused"]
    );
    for refusal in report["refusals"].as_array().into_iter().flatten() {
        println!("  line {}: {}", refusal["line"], refusal["reason"].as_str().unwrap_or_default());
    }
}
