//! The same history in SQLite and in redb, with the same ways to find a
//! message: by session and sequence, by date, by chat, by id.

use std::path::Path;

use anyhow::Context;
use redb::{Database, TableDefinition};
use rusqlite::{Connection, params};
use serde_json::json;

use super::corpus::{Corpus, Turn};

/// Turns of one transaction: how fast a rival fills is not the question.
const TURNS_A_COMMIT: usize = 10_000;

const CHATFLOW: &str = "54d84c37-3f57-4c00-841d-17f95e783c4d";

/// Bytes of a SQLite file with one row per message, columns as Flowise has them.
pub fn sqlite(corpus: Corpus, folder: &Path) -> anyhow::Result<u64> {
    let path = folder.join("rival.sqlite");
    let mut database = Connection::open(&path).context("SQLite")?;
    database.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         CREATE TABLE chat_message (
             id TEXT PRIMARY KEY NOT NULL, role TEXT NOT NULL, chatflowid TEXT NOT NULL,
             content TEXT NOT NULL, chatType TEXT NOT NULL, chatId TEXT NOT NULL, memoryType TEXT,
             sessionId TEXT, createdDate TEXT NOT NULL);
         CREATE INDEX by_session ON chat_message (chatflowid, sessionId, createdDate);
         CREATE INDEX by_date ON chat_message (chatflowid, createdDate);
         CREATE INDEX by_chat ON chat_message (chatflowid, chatId);",
    )?;
    let mut turns = corpus.turns().peekable();
    while turns.peek().is_some() {
        let writing = database.transaction()?;
        {
            let mut insert = writing.prepare(
                "INSERT INTO chat_message VALUES (?1, ?2, ?3, ?4, 'EXTERNAL', ?5, 'Buffer Memory', ?5, ?6)",
            )?;
            for turn in turns.by_ref().take(TURNS_A_COMMIT) {
                let session = turn.session_id();
                for (role, id) in turn.ids().iter().enumerate() {
                    let (name, content, date) = message(&turn, role);
                    insert.execute(params![id, name, CHATFLOW, content, session, date])?;
                }
            }
        }
        writing.commit()?;
    }
    drop(turns);
    database.close().map_err(|(_, error)| error)?;
    Ok(std::fs::metadata(path)?.len())
}

/// Bytes of a redb file with one record per turn and Parlor's indexes; 16 bytes an id.
pub fn redb(corpus: Corpus, folder: &Path) -> anyhow::Result<u64> {
    const TURNS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("turns");
    const DATES: TableDefinition<'_, (i64, u64, u64, u8), ()> = TableDefinition::new("dates");
    const IDS: TableDefinition<'_, u128, (u64, u64, u8)> = TableDefinition::new("ids");
    const SESSIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("sessions");
    const CHATS: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("chats");
    let path = folder.join("rival.redb");
    let mut database = Database::create(&path).context("redb")?;
    let mut turns = corpus.turns().peekable();
    while turns.peek().is_some() {
        let writing = database.begin_write()?;
        {
            let mut records = writing.open_table(TURNS)?;
            let mut dates = writing.open_table(DATES)?;
            let mut ids = writing.open_table(IDS)?;
            let mut sessions = writing.open_table(SESSIONS)?;
            let mut chats = writing.open_table(CHATS)?;
            for turn in turns.by_ref().take(TURNS_A_COMMIT) {
                let (session, seq) = (turn.session, turn.seq);
                records.insert((session, seq), record(&turn).as_bytes())?;
                for (role, id) in (0_u8..).zip(turn.ids()) {
                    dates.insert((turn.time_ms + i64::from(role), session, seq, role), ())?;
                    let id = u128::from_str_radix(&id.replace('-', ""), 16)?;
                    ids.insert(id, (session, seq, role))?;
                }
                if seq == 0 {
                    sessions.insert(turn.session_id().as_str(), session)?;
                    chats.insert((turn.session_id().as_str(), session), ())?;
                }
            }
        }
        writing.commit()?;
    }
    database.compact()?;
    drop(database);
    Ok(std::fs::metadata(path)?.len())
}

fn message(turn: &Turn, role: usize) -> (&'static str, &str, String) {
    match role {
        0 => ("userMessage", &turn.question, super::corpus::date(turn.time_ms)),
        _ => ("apiMessage", &turn.answer, super::corpus::date(turn.time_ms + 400)),
    }
}

/// What a turn needs beside its place, with short names.
fn record(turn: &Turn) -> String {
    json!({
        "i": turn.ids(), "q": turn.question, "a": turn.answer, "t": turn.time_ms,
        "c": turn.session_id(), "m": "Buffer Memory",
    })
    .to_string()
}
