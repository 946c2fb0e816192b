//! `parlor keys`: API keys.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Target, with_client};

const PATH: &str = "/api/v1/apikey";

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key and show it once
    Create {
        /// A name for it
        #[arg(long)]
        name: String,
        /// What it opens, separated by commas
        #[arg(long, alias = "scope", value_enum, value_delimiter = ',', default_values_t = [ScopeArg::Operator, ScopeArg::Messages, ScopeArg::Predict, ScopeArg::Upsert])]
        scopes: Vec<ScopeArg>,
        /// Days until it opens nothing any more; never, if not given
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<f64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// List the keys, masked
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Give a key a new secret and show that once
    Rotate {
        /// Id of the key
        id: String,
        /// How long the old secret opens as much
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
        overlap_seconds: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Take the keys of a Flowise installation, which go on working
    Import {
        /// Its api.json
        file: PathBuf,
        /// What becomes of a key that exists already
        #[arg(long, value_enum, default_value_t = ModeArg::Error)]
        existing: ModeArg,
        #[command(flatten)]
        target: Target,
    },
    /// Delete a key by its id
    Revoke {
        /// Id of the key
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ScopeArg {
    Predict,
    Upsert,
    Messages,
    Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArg {
    /// Nothing is imported
    Error,
    /// It stays as it is
    Ignore,
    /// The imported one takes its place
    Overwrite,
    /// All keys of the server go
    ReplaceAll,
}

impl ModeArg {
    fn import_mode(self) -> &'static str {
        match self {
            Self::Error => "errorIfExist",
            Self::Ignore => "ignoreIfExist",
            Self::Overwrite => "overwriteIfExist",
            Self::ReplaceAll => "replaceAll",
        }
    }
}

pub(super) async fn run(data_dir: PathBuf, command: KeysCommand) -> anyhow::Result<u8> {
    match command {
        KeysCommand::Create { name, scopes, expires_in_days, json, target } => {
            let scopes: Vec<String> =
                scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
            let mut body = json!({"keyName": name, "scopes": scopes});
            if let Some(days) = expires_in_days {
                body["expiresInDays"] = json!(days);
            }
            let rows = call(&data_dir, &target, Method::POST, PATH, Some(body)).await?;
            show_new(&rows, json)?;
        }
        KeysCommand::List { json, target } => {
            show(&call(&data_dir, &target, Method::GET, PATH, None).await?, json)?;
        }
        KeysCommand::Rotate { id, overlap_seconds, json, target } => {
            let path = format!("{PATH}/{id}/rotate");
            let body = json!({"overlapSeconds": overlap_seconds});
            show_new(&call(&data_dir, &target, Method::POST, &path, Some(body)).await?, json)?;
        }
        KeysCommand::Import { file, existing, target } => {
            let text = std::fs::read(&file).context("the file cannot be read")?;
            let body = json!({
                "jsonFile": format!("data:application/json;base64,{}", BASE64_STANDARD.encode(text)),
                "importMode": existing.import_mode(),
            });
            let path = format!("{PATH}/import");
            show(&call(&data_dir, &target, Method::POST, &path, Some(body)).await?, false)?;
        }
        KeysCommand::Revoke { id, target } => {
            let path = format!("{PATH}/{id}");
            call(&data_dir, &target, Method::DELETE, &path, None).await?;
            println!("revoked {id}");
        }
    }
    Ok(0)
}

async fn call(
    data_dir: &Path,
    target: &Target,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<Value> {
    let path = path.to_owned();
    with_client(data_dir, target, |client| async move {
        client.call(method, &path, body.as_ref()).await
    })
    .await
}

/// Shows the one row whose key is not masked: the new one.
fn show_new(rows: &Value, json: bool) -> anyhow::Result<()> {
    let clear = |row: &&Value| !row["apiKey"].as_str().unwrap_or("...").ends_with("...");
    match rows.as_array().into_iter().flatten().find(clear) {
        Some(row) if json => println!("{}", serde_json::to_string_pretty(row)?),
        Some(row) => println!("{}", row["apiKey"].as_str().unwrap_or_default()),
        None => bail!("the server did not show the new key"),
    }
    Ok(())
}

fn show(rows: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    for row in rows.as_array().into_iter().flatten() {
        let scopes = row["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let scopes: Vec<&str> = scopes.collect();
        let text = |key: &str| row[key].as_str().unwrap_or("").to_owned();
        let end =
            row["expiresAt"].as_str().map_or_else(String::new, |end| format!("  until {end}"));
        let (id, key, name) = (text("id"), text("apiKey"), text("keyName"));
        println!("{id}  {key}  {name}  {}{end}", scopes.join(","));
    }
    Ok(())
}
