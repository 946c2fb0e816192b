//! Flowise's instance export, `ExportData.json`, spooled into a private
//! temporary database on the disk: its lists may come in any order and be
//! longer than the memory, and the rest of the way is the same as from a file.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, bail};
use rusqlite::{Connection, params};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::database::{Database, Record};

/// The lists of an export of 2.x and 3.1, and the tables their rows come from.
const LISTS: [(&str, &str); 15] = [
    ("ChatFlow", "chat_flow"),
    ("Chatflows", "chat_flow"),
    ("AgentFlow", "chat_flow"),
    ("AgentFlowV2", "chat_flow"),
    ("AssistantFlow", "chat_flow"),
    ("Variable", "variable"),
    ("ChatMessage", "chat_message"),
    ("ChatMessageFeedback", "chat_message_feedback"),
    ("Tool", "tool"),
    ("AssistantCustom", "assistant"),
    ("AssistantOpenAI", "assistant"),
    ("AssistantAzure", "assistant"),
    ("DocumentStore", "document_store"),
    ("CustomTemplate", "custom_template"),
    ("Execution", "execution"),
];

/// Reads an export.
///
/// # Errors
/// One sentence where the file is none.
pub(super) fn open(path: &Path) -> anyhow::Result<Database> {
    let file = File::open(path).context("the export cannot be read")?;
    // An empty name is a file of its own that is gone when it is closed.
    let mut connection = Connection::open("").context("no temporary file can be made")?;
    let spooling = connection.transaction()?;
    for (_, table) in LISTS {
        spooling.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS \"{table}\" (id TEXT PRIMARY KEY, role TEXT, chatflowid TEXT,
             chatId TEXT, sessionId TEXT, createdDate TEXT, workspaceId TEXT, \"row\" TEXT)"
        ))?;
    }
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
    let n_lists = Export { into: &spooling }
        .deserialize(&mut json)
        .and_then(|n_lists| json.end().map(|()| n_lists))
        .context("the file is neither a SQLite database nor a whole export of Flowise")?;
    if n_lists == 0 {
        bail!("the file holds no export of an installation; `parlor import` takes single flows");
    }
    spooling.commit()?;
    Ok(Database::spooled(connection))
}

/// The whole file; its value is the number of lists that are known.
struct Export<'a> {
    into: &'a Connection,
}

impl<'de> DeserializeSeed<'de> for Export<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Export<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of lists")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut n_lists = 0;
        while let Some(key) = map.next_key::<String>()? {
            match LISTS.iter().find(|(list, _)| *list == key) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some((_, table)) => {
                    map.next_value_seed(Rows { into: self.into, table })?;
                    n_lists += 1;
                }
            }
        }
        Ok(n_lists)
    }
}

/// One list.
struct Rows<'a> {
    into: &'a Connection,
    table: &'a str,
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        // An id that comes twice is one row, as it was in the table.
        let sql =
            format!("INSERT OR IGNORE INTO \"{}\" VALUES (?1,?2,?3,?4,?5,?6,?7,?8)", self.table);
        let mut statement = self.into.prepare(&sql).map_err(A::Error::custom)?;
        while let Some(row) = rows.next_element::<Record>()? {
            let text = |column: &str| row.get(column).and_then(Value::as_str);
            let whole = Value::Object(row.clone()).to_string();
            let columns = params![
                text("id"),
                text("role"),
                text("chatflowid"),
                text("chatId"),
                text("sessionId"),
                text("createdDate"),
                text("workspaceId"),
                whole
            ];
            statement.execute(columns).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
