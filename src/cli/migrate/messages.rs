//! The history: rows become turns and go over in batches, session by session,
//! so that a history of any length takes little memory.

use std::collections::{BTreeMap, HashSet};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use parlor_schemas::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::database::{DAMAGED, Database, Record, text};
use super::pairing::{Found, Pair, Pairing};
use super::report::Kind;
use super::sink::{Messages, Sink};

const TABLE: &str = "chat_message";

/// A batch goes over when it has so many turns or bytes.
const BATCH_TURNS: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// Every message with its session, oldest first. A date without a fraction
/// was cut to its second by an older Flowise and counts as that second's end,
/// so that an answer does not come before its question.
const IN_ORDER: &str = "
    WITH message AS (
        SELECT rowid AS place, role, chatflowid AS flow, chatId AS chat,
            COALESCE(NULLIF(sessionId, ''), chatId) AS session,
            unixepoch(createdDate) * 1000 + CASE
                WHEN instr(createdDate, '.') > 0
                THEN CAST(substr(strftime('%f', createdDate), 4, 3) AS INTEGER)
                ELSE 999 END AS at
        FROM chat_message)
    SELECT place, role, flow, chat, session,
        LAG(place) OVER (PARTITION BY flow, session, chat ORDER BY place)
    FROM message ORDER BY flow, session, at, place";

/// Columns that hold JSON as text.
const JSON_COLUMNS: [&str; 7] = [
    "sourceDocuments",
    "usedTools",
    "fileAnnotations",
    "agentReasoning",
    "fileUploads",
    "artifacts",
    "action",
];

/// Columns that are handed on as they are.
const TEXT_COLUMNS: [&str; 4] = ["memoryType", "leadEmail", "followUpPrompts", "content"];

/// A history on its way.
pub(super) struct Move<'a> {
    database: &'a Database,
    sink: &'a Sink,
    /// Chatflows that are here, in lower case.
    flows: &'a HashSet<String>,
    kind: Kind,
    /// Turns so far: a number tells the server which messages belong together.
    n_turns: u64,
    /// Turns as lines, with their messages, until they are handed over.
    batch: Vec<(String, u64)>,
    batch_bytes: usize,
    /// Messages with the thoughts of a reasoning model, which 3.1 keeps apart.
    n_thoughts: u64,
    /// Doors of 3.x that there are none of here.
    other_doors: BTreeMap<String, u64>,
    progress: ProgressBar,
}

/// Moves all messages; notes what the operator should know.
///
/// # Errors
/// When the database or the server gives way.
pub(super) async fn run(
    database: &Database,
    sink: &Sink,
    flows: &HashSet<String>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Kind> {
    let found = database.count(TABLE)?;
    let mut kind = Kind::new("messages", found);
    if found == 0 {
        return Ok(kind);
    }
    if !database.has_column(TABLE, "sessionId")? {
        kind.leave(found, "they come from before Flowise 2; start Flowise 2 on a copy once");
        return Ok(kind);
    }
    // Draws nothing where standard error is no terminal.
    let progress = ProgressBar::new(found).with_style(ProgressStyle::with_template(
        "messages {wide_bar} {human_pos} of {human_len}, {eta} left",
    )?);
    let (batch, other_doors) = (Vec::new(), BTreeMap::new());
    let own = Move {
        database,
        sink,
        flows,
        kind,
        n_turns: 0,
        batch,
        batch_bytes: 0,
        n_thoughts: 0,
        other_doors,
        progress,
    };
    own.run(notes).await
}

impl Move<'_> {
    async fn run(mut self, notes: &mut Vec<String>) -> anyhow::Result<Kind> {
        let mut statement = self.database.connection.prepare(IN_ORDER).context(DAMAGED)?;
        let mut rows = statement.query([]).context(DAMAGED)?;
        let mut pairing = Pairing::default();
        while let Some(row) = rows.next().context(DAMAGED)? {
            match found(row).context(DAMAGED)? {
                Ok(found) => {
                    for pair in pairing.push(found) {
                        self.take(&pair).await?;
                    }
                }
                Err(why) => self.kind.leave(1, why),
            }
        }
        for pair in pairing.finish() {
            self.take(&pair).await?;
        }
        self.hand_over().await?;
        self.progress.finish_and_clear();
        for (door, n) in self.other_doors {
            notes.push(format!("{n} messages came through the door {door}, unknown here; they are kept as EXTERNAL, or INTERNAL for evaluations."));
        }
        if self.n_thoughts > 0 {
            let n_thoughts = self.n_thoughts;
            notes.push(format!(
                "The reasoning kept with {n_thoughts} messages of 3.x did not come."
            ));
        }
        Ok(self.kind)
    }

    /// Adds a turn to the batch.
    async fn take(&mut self, pair: &Pair) -> anyhow::Result<()> {
        let (mut lines, mut n_lines) = (String::new(), 0);
        self.n_turns += 1;
        for place in [pair.question, pair.answer].into_iter().flatten() {
            let record = self.database.record(TABLE, place)?;
            match self.message(&record) {
                Ok(mut message) => {
                    message["turn"] = json!(self.n_turns);
                    lines.push_str(&message.to_string());
                    lines.push('\n');
                    n_lines += 1;
                }
                Err(why) => self.kind.leave(1, why),
            }
        }
        self.batch_bytes += lines.len();
        if n_lines > 0 {
            self.batch.push((lines, n_lines));
        }
        if self.batch.len() >= BATCH_TURNS || self.batch_bytes >= BATCH_BYTES {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Sends the batch; where it is refused, its turns one by one.
    async fn hand_over(&mut self) -> anyhow::Result<()> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let all = batch.iter().map(|(lines, _)| lines.as_str()).collect::<String>();
        if let Messages::Done { taken, existing, refused } = self.sink.messages(all).await? {
            self.done(taken, existing, refused);
            return Ok(());
        }
        for (lines, n_lines) in batch {
            match self.sink.messages(lines).await? {
                Messages::Done { taken, existing, refused } => self.done(taken, existing, refused),
                Messages::Refused(why) => self.kind.leave(n_lines, why),
            }
        }
        Ok(())
    }

    fn done(&mut self, taken: u64, existing: u64, refused: Vec<(u64, String)>) {
        self.kind.taken += taken;
        self.kind.existing += existing;
        self.progress.inc(taken + existing);
        for (n_lines, why) in refused {
            self.kind.leave(n_lines, why);
        }
    }

    /// The record of the Message API, or why there is none.
    fn message(&mut self, record: &Record) -> Result<Value, &'static str> {
        let id = text(record, "id").and_then(|id| Uuid::try_parse(id).ok());
        let id = id.ok_or("their id is no UUID")?;
        let flow = text(record, "chatflowid").map(str::to_lowercase);
        let flow = flow.filter(|flow| self.flows.contains(flow));
        let flow = flow.ok_or("their chatflow is not here")?;
        self.n_thoughts += u64::from(text(record, "reasonContent").is_some());
        let date = text(record, "createdDate").and_then(Timestamp::parse);
        let mut message = json!({
            "id": id,
            "role": text(record, "role"),
            "chatflowid": flow,
            "chatId": text(record, "chatId"),
            "chatType": self.door(record),
            "sessionId": text(record, "sessionId"),
            "createdDate": date.ok_or("they have no date that can be read")?,
        });
        for column in TEXT_COLUMNS {
            message[column] = json!(record.get(column).and_then(Value::as_str));
        }
        if message["content"].is_null() {
            message["content"] = json!("");
        }
        for column in JSON_COLUMNS {
            message[column] = match record.get(column) {
                Some(Value::String(text)) if text.is_empty() => Value::Null,
                Some(Value::String(text)) => {
                    serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
                }
                other => other.cloned().unwrap_or_default(),
            };
        }
        Ok(message)
    }

    fn door(&mut self, record: &Record) -> &'static str {
        match text(record, "chatType").unwrap_or("INTERNAL") {
            "INTERNAL" => "INTERNAL",
            "EXTERNAL" => "EXTERNAL",
            other => {
                *self.other_doors.entry(other.to_owned()).or_default() += 1;
                if other == "EVALUATION" { "INTERNAL" } else { "EXTERNAL" }
            }
        }
    }
}

/// A message of [`IN_ORDER`], or why it is none.
fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Found, &'static str>> {
    let text = |at| row.get::<_, Option<String>>(at);
    let is_question = match text(1)?.as_deref() {
        Some("userMessage") => true,
        Some("apiMessage") => false,
        _ => return Ok(Err("they are neither a question nor an answer")),
    };
    let (Some(flow), Some(chat), Some(session)) = (text(2)?, text(3)?, text(4)?) else {
        return Ok(Err("they belong to no chat"));
    };
    let session = (flow, session);
    let (place, written_before) = (row.get(0)?, row.get(5)?);
    Ok(Ok(Found { place, is_question, session, chat, written_before }))
}
