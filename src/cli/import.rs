//! `parlor import`: stores exported chatflows and says what they still need.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Client, Target, with_client};
use crate::flow::file::{self, FoundFlow};
use crate::flow::plan;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Exported files: a chatflow, or a whole instance
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A stored credential for a node, NODE=NAME; may be repeated
    #[arg(long = "credential", value_name = "NODE=NAME")]
    credentials: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(data_dir: PathBuf, args: ImportArgs) -> anyhow::Result<u8> {
    let mut flows = Vec::new();
    for path in &args.files {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        for mut flow in file::find_flows(&text).with_context(|| format!("cannot import {shown}"))? {
            flow.name = flow.name.or_else(|| stem.clone());
            flows.push(flow);
        }
    }
    let bindings = bindings(&args.credentials)?;
    let report = with_client(&data_dir, &args.target, |client| async move {
        let mut report = Vec::new();
        for flow in flows {
            report.push(import(&client, flow, &bindings).await?);
        }
        Ok(report)
    });
    let report = report.await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.iter().for_each(show);
    }
    Ok(0)
}

async fn import(client: &Client, flow: FoundFlow, bindings: &Value) -> anyhow::Result<Value> {
    let mut body: Map<String, Value> = flow.columns;
    let dropped = ["createdDate", "updatedDate", "workspaceId"];
    body.retain(|key, _| !dropped.contains(&key.as_str()));
    body.insert("name".into(), json!(flow.name.as_deref().unwrap_or("Imported chatflow")));
    body.insert("flowData".into(), json!(flow.flow_data));
    body.insert("credentialBindings".into(), bindings.clone());
    if let Some(id) = &flow.id {
        body.insert("id".into(), json!(id));
    }
    let stored =
        client.call(reqwest::Method::POST, "/api/v1/chatflows", Some(&body.into())).await?;
    let parsed = file::parse_flow(&flow.flow_data)?;
    let missing = plan::unsupported(parsed.nodes.iter());
    Ok(json!({"id": stored["id"], "name": stored["name"], "unsupportedNodes": missing}))
}

fn bindings(pairs: &[String]) -> anyhow::Result<Value> {
    let pair = |text: &String| {
        let (node, name) = text.split_once('=').with_context(|| {
            format!("--credential {text} is not understood; write it as NODE=NAME")
        })?;
        Ok((node.to_owned(), Value::String(name.to_owned())))
    };
    Ok(Value::Object(pairs.iter().map(pair).collect::<anyhow::Result<_>>()?))
}

fn show(row: &Value) {
    println!("{}  {}", row["id"].as_str().unwrap_or(""), row["name"].as_str().unwrap_or(""));
    let missing: Vec<&str> = row["unsupportedNodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !missing.is_empty() {
        println!("  cannot run yet: {}", missing.join(", "));
        println!("  replace these nodes in the flow, or see `parlor nodes` for what is supported");
    }
}
