//! `parlor upsert`: files into the vector stores of a chatflow.
mod answer;
mod cleanup;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use parlor_schemas::prediction::MAX_UPLOADS;
use serde_json::{Map, Value, json};

use super::client::{Client, Target, with_client};
use super::{events, progress};
use crate::flow::attachments::mime_of;

/// Bytes of files that one request brings, unless one file has more.
const MAX_BATCH_BYTES: u64 = 32 << 20;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct UpsertArgs {
    /// Id of the chatflow
    id: String,
    /// Files for its document loaders; without any, the loaders' own
    files: Vec<PathBuf>,
    /// Vector store by the id of its node, where the chatflow has several
    #[arg(long, value_name = "NODE")]
    stop_node: Vec<String>,
    /// Leave out files that cannot be read, and name them at the end
    #[arg(long)]
    keep_going: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// A file with its length.
type Sized = (PathBuf, u64);

/// What came of the parts that were sent.
struct Sent {
    /// The answers so far, added up.
    answer: Map<String, Value>,
    /// The part that failed, and why; those after it were not sent.
    failed: Option<(usize, anyhow::Error)>,
}

pub(super) async fn run(data_dir: PathBuf, args: UpsertArgs) -> anyhow::Result<u8> {
    let (batches, unreadable) = batches(&args)?;
    let (print_json, n_parts, n_unreadable) = (args.json, batches.len(), unreadable.len());
    let sent = with_client(&data_dir, &args.target.clone(), |client| async move {
        if n_parts > 1 || n_unreadable > 0 {
            cleanup::refuse_full(&client, &args, n_parts).await?;
        }
        Ok(send_all(&client, &args, &batches).await)
    })
    .await?;
    let Sent { mut answer, failed } = sent;
    if !unreadable.is_empty() {
        answer::add(&mut answer, Map::from_iter([("failures".to_owned(), json!(unreadable))]));
    }
    let failed = match failed {
        // There is nothing else to tell.
        Some((_, error)) if answer.is_empty() => return Err(error),
        failed => failed.map(|(part, error)| answer::Failed { part, n_parts, error }),
    };
    let has_failures =
        answer.get("failures").and_then(Value::as_array).is_some_and(|some| !some.is_empty());
    let is_whole = failed.is_none() && !has_failures;
    answer::print(answer, failed, print_json);
    Ok(u8::from(!is_whole))
}

async fn send_all(client: &Client, args: &UpsertArgs, batches: &[Vec<Sized>]) -> Sent {
    let bar = progress::chunks();
    let mut sent = Sent { answer: Map::new(), failed: None };
    for (at, batch) in batches.iter().enumerate() {
        if batches.len() > 1 {
            bar.set_prefix(format!("Part {} of {}, ", at + 1, batches.len()));
        }
        match send(client, args, batch, &bar).await {
            Ok(answer) => answer::add(&mut sent.answer, answer),
            Err(error) => {
                sent.failed = Some((at + 1, error));
                break;
            }
        }
    }
    bar.finish_and_clear();
    sent
}

/// The files in requests of bounded size, and those that cannot be read here.
fn batches(args: &UpsertArgs) -> anyhow::Result<(Vec<Vec<Sized>>, Vec<Value>)> {
    let (mut batches, mut unreadable): (Vec<Vec<Sized>>, _) = (Vec::new(), Vec::new());
    let mut n_bytes = 0;
    for path in &args.files {
        let length = match length(path) {
            Ok(length) => length,
            Err(error) if args.keep_going => {
                unreadable.push(json!({"name": path.display().to_string(), "problem": error}));
                continue;
            }
            Err(error) => anyhow::bail!("{} {error}", path.display()),
        };
        let is_full =
            |batch: &Vec<Sized>| batch.len() >= MAX_UPLOADS || n_bytes + length > MAX_BATCH_BYTES;
        if batches.last().is_none_or(is_full) {
            batches.push(Vec::new());
            n_bytes = 0;
        }
        n_bytes += length;
        if let Some(batch) = batches.last_mut() {
            batch.push((path.clone(), length));
        }
    }
    if args.files.is_empty() {
        batches.push(Vec::new());
    }
    Ok((batches, unreadable))
}

fn length(path: &Path) -> Result<u64, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err("is no file".to_owned()) }
}

async fn send(
    client: &Client,
    args: &UpsertArgs,
    batch: &[Sized],
    bar: &ProgressBar,
) -> anyhow::Result<Map<String, Value>> {
    // The operator asks: no key of the chatflow is needed.
    let path = format!("/api/v1/vector/internal-upsert/{}", args.id);
    let mut request = client.request(reqwest::Method::POST, &path);
    request = request.header("Accept", "text/event-stream");
    if args.keep_going {
        request = request.header("Prefer", "handling=lenient");
    }
    let request = if batch.is_empty() {
        let body = json!({"stopNodeId": args.stop_node}).to_string();
        request.header("Content-Type", "application/json").body(body)
    } else {
        request.multipart(form(args, batch)?)
    };
    let response = request.send().await.context("the server cannot be reached")?;
    let mut result = Value::Null;
    let each = |event: &str, data: Value| {
        match event {
            "progress" => show(bar, &data),
            "result" => result = data,
            _ => {}
        }
        Ok(())
    };
    let answer = events::read(response, each).await?.unwrap_or(result);
    match answer {
        Value::Object(answer) => Ok(answer),
        _ => anyhow::bail!("the server did not say what it did"),
    }
}

fn form(args: &UpsertArgs, batch: &[Sized]) -> anyhow::Result<reqwest::multipart::Form> {
    let mut form = reqwest::multipart::Form::new();
    if !args.stop_node.is_empty() {
        form = form.text("stopNodeId", json!(args.stop_node).to_string());
    }
    for (path, _) in batch {
        let bytes = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = reqwest::multipart::Part::bytes(bytes).mime_str(mime(&name))?;
        form = form.part("files", part.file_name(name));
    }
    Ok(form)
}

/// The MIME type of a name, by which some loaders choose their parser.
fn mime(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "jsonl" => "application/jsonl",
        "doc" => "application/msword",
        "xls" => "application/vnd.ms-excel",
        _ => mime_of(name).unwrap_or("text/plain"),
    }
}

fn show(bar: &ProgressBar, data: &Value) {
    let count = |name: &str| data[name].as_u64().unwrap_or(0);
    bar.set_message(format!("{} files, {} chunks embedded", count("files"), count("embedded")));
    if count("chunks") > 0 {
        bar.set_length(count("chunks"));
    }
    bar.set_position(count("written") + count("skipped"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_in_parts_and_those_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..45).map(|n| folder.path().join(format!("{n}.txt"))).collect();
        files.iter().for_each(|file| std::fs::write(file, "x").unwrap());
        let mut args = UpsertArgs {
            id: "x".into(),
            files,
            stop_node: Vec::new(),
            keep_going: true,
            json: false,
            target: Target::default(),
        };
        args.files.push(folder.path().join("missing.txt"));
        let (parts, unreadable) = batches(&args).unwrap();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 5]);
        assert!(unreadable[0]["name"].as_str().unwrap().ends_with("missing.txt"));
        args.keep_going = false;
        assert!(batches(&args).unwrap_err().to_string().contains("cannot be read"));
        args.files.clear();
        assert_eq!(batches(&args).unwrap().0, [Vec::new()]);
    }
}
