//! Where the rows go: to the import routes of a server, or nowhere.

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::report::Kind;
use crate::cli::client::Client;

/// Takes rows.
pub(super) enum Sink {
    /// The server that the command talks to.
    Server(Client),
    /// A dry run: everything is taken and nothing changes.
    Nowhere,
}

/// What became of a row.
pub(super) enum Outcome {
    /// It is here now.
    Taken,
    /// It was here already.
    Existing,
    /// The server says why it cannot be.
    Refused(String),
}

impl Outcome {
    /// Counts the row; whether it is here now.
    pub fn count(self, kind: &mut Kind) -> bool {
        match self {
            Self::Taken => kind.taken += 1,
            Self::Existing => kind.existing += 1,
            Self::Refused(why) => {
                kind.leave(1, why);
                return false;
            }
        }
        true
    }
}

/// What became of some messages.
pub(super) enum Messages {
    /// How many came, how many were here already, and why others cannot come.
    Done { taken: u64, existing: u64, refused: Vec<(u64, String)> },
    /// None of them came; the server says why.
    Refused(String),
}

impl Sink {
    /// Hands one row over.
    ///
    /// # Errors
    /// When the server cannot go on at all.
    pub async fn row(&self, kind: &str, row: Value) -> anyhow::Result<Outcome> {
        let Self::Server(client) = self else { return Ok(Outcome::Taken) };
        let body = json!({"kind": kind, "row": row}).to_string();
        match send(client, "/api/v1/rows/import", "application/json", body).await? {
            Err(why) => Ok(Outcome::Refused(why)),
            Ok(answer) if answer["outcome"] == "exists" => Ok(Outcome::Existing),
            Ok(_) => Ok(Outcome::Taken),
        }
    }

    /// Hands messages over, one on each line.
    ///
    /// # Errors
    /// When the server cannot go on at all.
    pub async fn messages(&self, lines: String) -> anyhow::Result<Messages> {
        let n_lines = lines.lines().count() as u64;
        let Self::Server(client) = self else {
            return Ok(Messages::Done { taken: n_lines, existing: 0, refused: Vec::new() });
        };
        let sent = send(client, "/api/v1/messages/import", "application/x-ndjson", lines);
        match sent.await? {
            Err(why) => Ok(Messages::Refused(why)),
            Ok(answer) => Ok(Messages::Done {
                taken: answer["imported"].as_u64().unwrap_or(0),
                existing: answer["skipped"].as_u64().unwrap_or(0),
                refused: refused(&answer),
            }),
        }
    }

    /// The ids of the chatflows that are stored over there, if anybody can say.
    ///
    /// # Errors
    /// What the server says.
    pub async fn chatflows(&self) -> anyhow::Result<Vec<String>> {
        let Self::Server(client) = self else { return Ok(Vec::new()) };
        let rows = client.call(Method::GET, "/api/v1/chatflows", None).await?;
        let ids = rows.as_array().into_iter().flatten().filter_map(|row| row["id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    }
}

/// The refused lines by their reasons; the server names the first ones only.
fn refused(answer: &Value) -> Vec<(u64, String)> {
    let named = answer["refusals"].as_array().into_iter().flatten();
    let mut refused: Vec<_> = named
        .map(|line| (1, line["reason"].as_str().unwrap_or("the server refused it").to_owned()))
        .collect();
    let n_refused = answer["refused"].as_u64().unwrap_or(0);
    let n_unnamed = n_refused.saturating_sub(refused.len() as u64);
    if n_unnamed > 0 {
        refused.push((n_unnamed, "the server refused them, like others of their batch".to_owned()));
    }
    refused
}

/// The answer, or why this body alone is refused.
async fn send(
    client: &Client,
    path: &str,
    kind: &str,
    body: String,
) -> anyhow::Result<Result<Value, String>> {
    let request = client.request(Method::POST, path).header("Content-Type", kind).body(body);
    let response = request.send().await.context("the server cannot be reached")?;
    let status = response.status();
    let answer: Value = serde_json::from_str(&response.text().await?).unwrap_or_default();
    let why = answer["message"].as_str().unwrap_or("the server refused it").to_owned();
    match status {
        status if status.is_success() => Ok(Ok(answer)),
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::PAYLOAD_TOO_LARGE => {
            Ok(Err(why))
        }
        _ => bail!("{why}; what came before is stored, so this can be run again"),
    }
}
