//! `parlor top`: what a running server has to do, drawn again and again.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, Target, with_client};
use super::verify::has_server;

/// Clears a terminal from its upper left corner on.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Sessions and stores that are shown; the server tells more.
const MOST_SHOWN: usize = 15;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every_s: u64,
    /// Look once; so it is also where the output is no terminal
    #[arg(long)]
    once: bool,
    /// Print JSON, once
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(data_dir: PathBuf, args: TopArgs) -> anyhow::Result<u8> {
    if !args.target.is_remote() && !has_server(&data_dir).await {
        bail!("no server runs on this data folder; name another with --data-dir or --url");
    }
    with_client(&data_dir, &args.target, |client| watch(client, &args)).await?;
    Ok(0)
}

async fn watch(client: Client, args: &TopArgs) -> anyhow::Result<()> {
    loop {
        let view = client.call(Method::GET, "/api/v1/runtime", None).await?;
        if args.json {
            println!("{}", serde_json::to_string_pretty(&view)?);
            return Ok(());
        }
        if args.once || !stdout().is_terminal() {
            print!("{}", page(&view));
            return Ok(());
        }
        print!("{CLEAR}{}", page(&view));
        stdout().flush()?;
        tokio::time::sleep(Duration::from_secs(args.every_s)).await;
    }
}

fn page(view: &Value) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{}", head(view));
    for (name, work) in [("turns", &view["turns"]), ("upserts", &view["upserts"])] {
        let (running, waiting, limit) = (&work["running"], &work["waiting"], &work["limit"]);
        let _ = writeln!(page, "{name:<8} {running} running, {waiting} waiting, limit {limit}");
    }
    let _ = writeln!(page, "streams  {} open", view["openStreams"]);
    for (n, shard) in rows(&view["shards"]).enumerate() {
        let (live, pending) = (&shard["liveSessions"], &shard["pending"]);
        let _ = writeln!(page, "shard {n:<2} {live} sessions, {pending} pending");
    }
    for (title, list, name) in [
        ("session", &view["busiestSessions"], "sessionId"),
        ("store", &view["upsertsByStore"], "store"),
    ] {
        for row in rows(list).take(MOST_SHOWN) {
            let (pending, id) = (row["pending"].as_u64().unwrap_or(0), harmless(&row[name]));
            let _ = writeln!(page, "{title:<8} {pending:>4}  {id}");
        }
    }
    page
}

fn head(view: &Value) -> String {
    let mib = view["residentBytes"].as_u64().unwrap_or(0) >> 20;
    let store = if view["storeOpen"] == true { "open" } else { "RECOVERING" };
    let state = if view["draining"] == true { ", STOPPING" } else { "" };
    let (version, uptime) = (view["version"].as_str().unwrap_or("?"), &view["uptimeS"]);
    format!("Parlor {version}, up {uptime} s, {mib} MiB, store {store}{state}")
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A caller's id could hold commands for the terminal.
fn harmless(id: &Value) -> String {
    id.as_str().unwrap_or_default().chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_shows_the_work_and_no_command_of_a_caller_for_the_terminal() {
        let view = json!({
            "version": "1", "uptimeS": 7, "residentBytes": 3 << 20, "draining": true,
            "storeOpen": true, "openStreams": 2,
            "turns": {"running": 1, "waiting": 2, "limit": 9},
            "upserts": {"running": 0, "waiting": 0, "limit": 64},
            "shards": [{"liveSessions": 5, "pending": 3}],
            "busiestSessions": [{"sessionId": "\u{1b}[2Jme", "pending": 3}],
            "upsertsByStore": [],
        });
        let expected = "Parlor 1, up 7 s, 3 MiB, store open, STOPPING\n\
            turns    1 running, 2 waiting, limit 9\n\
            upserts  0 running, 0 waiting, limit 64\n\
            streams  2 open\n\
            shard 0  5 sessions, 3 pending\n\
            session     3  \\u{1b}[2Jme\n";
        assert_eq!(page(&view), expected);
    }
}
