//! `parlor vectors`: looks after what upserts wrote.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::client::{Target, with_client};

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum VectorsCommand {
    /// Take chunks out of a vector store
    Delete(DeleteArgs),
}

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Id of the chatflow
    id: String,
    /// Vector store by the id of its node, where the chatflow has several
    #[arg(long, value_name = "NODE")]
    stop_node: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    target: Target,
}

/// Exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Chunks by id
    #[arg(long = "chunk", value_name = "ID", num_args = 1..)]
    chunks: Vec<Uuid>,
    /// Chunks by their metadata: JSON in the store's own language
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Chunks of a file, an address or a loader
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// All that the chatflow put there
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(data_dir: PathBuf, command: VectorsCommand) -> anyhow::Result<u8> {
    let VectorsCommand::Delete(args) = command;
    let body = body(args.which, args.stop_node)?;
    let path = format!("/api/v1/vector/{}", args.id);
    let answer = with_client(&data_dir, &args.target, |client| async move {
        client.call(reqwest::Method::DELETE, &path, Some(&body)).await
    });
    println!("{} chunks deleted", answer.await?["affected"]);
    Ok(0)
}

fn body(which: Which, stop_node: Option<String>) -> anyhow::Result<Value> {
    let mut body = Map::new();
    if let Some(node) = stop_node {
        body.insert("stopNodeId".into(), json!(node));
    }
    if !which.chunks.is_empty() {
        body.insert("ids".into(), json!(which.chunks));
    }
    if let Some(filter) = which.filter {
        let filter = serde_json::from_str(&filter).context("--filter is no JSON")?;
        body.insert("filter".into(), filter);
    }
    if let Some(origin) = which.origin {
        body.insert("origin".into(), json!(origin));
    }
    if which.all {
        body.insert("all".into(), json!(true));
    }
    Ok(Value::Object(body))
}
