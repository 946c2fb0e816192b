//! `parlor ask`: one question, one answer.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, Target, with_client};
use super::events;

/// Characters of a passage that `--sources` shows.
const MAX_SHOWN: usize = 160;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    /// Id of the chatflow
    id: String,
    /// What to ask
    question: String,
    /// Session to go on with; a new one otherwise
    #[arg(long)]
    session: Option<String>,
    /// Show the passages behind the answer, too
    #[arg(long)]
    sources: bool,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(data_dir: PathBuf, args: AskArgs) -> anyhow::Result<u8> {
    let target = args.target.clone();
    with_client(&data_dir, &target, |client| async move {
        let sources = ask(&client, &args).await?;
        if args.sources {
            show_sources(&sources);
        }
        Ok(())
    })
    .await?;
    Ok(0)
}

/// Prints the answer; gives the passages behind it.
async fn ask(client: &Client, args: &AskArgs) -> anyhow::Result<Value> {
    let mut body = json!({"question": args.question, "streaming": !args.json});
    if let Some(session) = &args.session {
        body["overrideConfig"] = json!({"sessionId": session});
    }
    // The operator asks: no key of the chatflow is needed.
    let path = format!("/api/v1/internal-prediction/{}", args.id);
    let request = client.request(reqwest::Method::POST, &path);
    let request = request.header("Content-Type", "application/json").body(body.to_string());
    let mut sources = Value::Null;
    let show = |event: &str, data: Value| {
        match (event, data) {
            ("token", Value::String(text)) => {
                print!("{text}");
                std::io::stdout().flush()?;
            }
            ("sourceDocuments", found) => sources = found,
            _ => {}
        }
        Ok(())
    };
    let Some(answer) = events::read(request.send().await?, show).await? else {
        println!();
        return Ok(sources);
    };
    match args.json {
        true => println!("{answer:#}"),
        false => println!("{}", events::words(&answer)),
    }
    Ok(if args.json { Value::Null } else { answer["sourceDocuments"].clone() })
}

fn show_sources(sources: &Value) {
    for (at, document) in sources.as_array().into_iter().flatten().enumerate() {
        let text = document["pageContent"].as_str().unwrap_or_default();
        println!("[{}] {}{}", at + 1, place(&document["metadata"]), shortened(text));
    }
}

/// Where a passage comes from, as far as its metadata tell.
fn place(metadata: &Value) -> String {
    let source = metadata["source"].as_str().filter(|source| *source != "blob");
    let page = metadata["loc"]["pageNumber"].as_u64().map(|page| format!("page {page}"));
    let line = metadata["loc"]["lines"]["from"].as_u64().map(|line| format!("line {line}"));
    let parts = [source.map(str::to_owned), page, line];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    if known.is_empty() { String::new() } else { format!("{}: ", known.join(", ")) }
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_says_where_it_comes_from_and_is_cut_short() {
        let metadata = json!({"source": "a.pdf", "loc": {"pageNumber": 3, "lines": {"from": 7}}});
        assert_eq!(place(&metadata), "a.pdf, page 3, line 7: ");
        assert_eq!(place(&json!({"source": "blob"})), "");
        assert_eq!(shortened("two\n  lines"), "two lines");
        assert_eq!(shortened(&"é".repeat(200)), format!("{}...", "é".repeat(160)));
    }
}
