//! `parlor keys`: API keys.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::path::PathBuf;

use anyhow::bail;
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
        /// What it opens; may be repeated
        #[arg(long = "scope", value_enum, default_values_t = [ScopeArg::Operator, ScopeArg::Messages, ScopeArg::Predict, ScopeArg::Upsert])]
        scopes: Vec<ScopeArg>,
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

pub(super) async fn run(data_dir: PathBuf, command: KeysCommand) -> anyhow::Result<u8> {
    match command {
        KeysCommand::Create { name, scopes, json, target } => {
            let scopes: Vec<String> =
                scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
            let body = json!({"keyName": name, "scopes": scopes});
            let rows = with_client(&data_dir, &target, |client| async move {
                client.call(Method::POST, PATH, Some(&body)).await
            });
            let rows = rows.await?;
            // The one row whose key is not masked is the new one.
            let clear = |row: &&Value| !row["apiKey"].as_str().unwrap_or("...").ends_with("...");
            match rows.as_array().into_iter().flatten().find(clear) {
                Some(row) if json => println!("{}", serde_json::to_string_pretty(row)?),
                Some(row) => println!("{}", row["apiKey"].as_str().unwrap_or_default()),
                None => bail!("the server did not show the new key"),
            }
        }
        KeysCommand::List { json, target } => {
            let rows = with_client(&data_dir, &target, |client| async move {
                client.call(Method::GET, PATH, None).await
            });
            show(&rows.await?, json)?;
        }
        KeysCommand::Revoke { id, target } => {
            let path = format!("{PATH}/{id}");
            with_client(&data_dir, &target, |client| async move {
                client.call(Method::DELETE, &path, None).await
            })
            .await?;
            println!("revoked {id}");
        }
    }
    Ok(0)
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
        println!("{}  {}  {}  {}", text("id"), text("apiKey"), text("keyName"), scopes.join(","));
    }
    Ok(())
}
