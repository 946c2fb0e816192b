//! Moves one kind after the other, in the order in which they need each other.

use std::collections::HashSet;

use parlor_schemas::flow_file::FlowData;
use serde_json::Value;
use uuid::Uuid;

use super::database::{Record, text};
use super::report::{Kind, Report};
use super::sink::Sink;
use super::source::{Locked, Source};
use super::{messages, rows, uploads};
use crate::flow::{file, plan};

/// Tables that Parlor has no place for, and why.
const WITHOUT_PLACE: [(&str, &str, &str); 7] = [
    ("tools", "tool", "tools that are written in JavaScript do not run here"),
    ("assistants", "assistant", "assistants of their own are not supported; chatflows are"),
    ("document stores", "document_store", "there are none here; their chunks stay where they are"),
    ("upsert records", "upsert_history", "they tell of past upserts only"),
    ("templates", "custom_template", "there is no editor here that would use them"),
    ("executions", "execution", "runs of agent flows of 3.x are not kept here"),
    ("evaluations", "evaluation", "evaluations of 3.x do not run here"),
];

/// One way of an installation into a server.
pub(super) struct Mover<'a> {
    source: &'a Source,
    sink: Sink,
    report: Report,
    /// Ids of what is here, in lower case: chatflows, credentials, keys.
    flows: HashSet<String>,
    credentials: HashSet<String>,
    keys: HashSet<String>,
}

impl<'a> Mover<'a> {
    pub fn new(source: &'a Source, sink: Sink) -> Self {
        let report = Report { dry_run: matches!(sink, Sink::Nowhere), ..Report::default() };
        let (flows, credentials, keys) = (HashSet::new(), HashSet::new(), HashSet::new());
        Self { source, sink, report, flows, credentials, keys }
    }

    /// Moves everything; credentials and keys first, because chatflows name them.
    ///
    /// # Errors
    /// When the database or the server gives way.
    pub async fn run(mut self) -> anyhow::Result<Report> {
        self.credentials().await?;
        self.variables().await?;
        self.api_keys().await?;
        self.chatflows().await?;
        self.flows.extend(self.sink.chatflows().await?);
        let (database, notes) = (&self.source.database, &mut self.report.notes);
        let history = messages::run(database, &self.sink, &self.flows, notes).await?;
        self.report.kinds.push(history);
        if let Some(storage) = &self.source.storage {
            let files = uploads::run(storage, &self.sink, &self.flows).await?;
            self.report.kinds.push(files);
        }
        self.of_chats("feedback", "chat_message_feedback", rows::feedback).await?;
        self.of_chats("leads", "lead", rows::lead).await?;
        for (kind, table, why) in WITHOUT_PLACE {
            self.without_place(kind, table, why)?;
        }
        self.notes()?;
        Ok(self.report)
    }

    async fn credentials(&mut self) -> anyhow::Result<()> {
        let places = self.source.database.places("credential")?;
        let mut kind = Kind::new("credentials", places.len() as u64);
        for place in places {
            let record = self.source.database.record("credential", place)?;
            let fields = self.source.unlock(text(&record, "encryptedData").unwrap_or_default());
            match fields {
                Err(why) => kind.leave(1, reason(why)),
                Ok(fields) => {
                    let row = rows::credential(&record, fields);
                    if self.put(&mut kind, "credential", row).await? {
                        self.credentials.extend(id(&record));
                    }
                }
            }
        }
        self.report.kinds.push(kind);
        Ok(())
    }

    async fn variables(&mut self) -> anyhow::Result<()> {
        let places = self.source.database.places("variable")?;
        let mut kind = Kind::new("variables", places.len() as u64);
        let mut has_runtime = false;
        for place in places {
            let row = rows::variable(&self.source.database.record("variable", place)?);
            has_runtime |= row["type"] == "runtime";
            self.put(&mut kind, "variable", row).await?;
        }
        if has_runtime {
            self.report.notes.push(
                "Variables that come from the environment are read only where the server is \
                 started with --runtime-variables and their names."
                    .to_owned(),
            );
        }
        self.report.kinds.push(kind);
        Ok(())
    }

    async fn api_keys(&mut self) -> anyhow::Result<()> {
        let mut records = self.source.api_json.clone();
        for place in self.source.database.places("apikey")? {
            let record = self.source.database.record("apikey", place)?;
            // Flowise copies api.json into the table when it changes over.
            if !records.iter().any(|known| known.get("apiKey") == record.get("apiKey")) {
                records.push(record);
            }
        }
        let mut kind = Kind::new("API keys", records.len() as u64);
        let mut n_narrowed = 0;
        for record in records {
            let Some(row) = rows::api_key(&record) else {
                kind.leave(1, "the row holds no key");
                continue;
            };
            n_narrowed += u64::from(rows::is_narrowed(&row, &record));
            let key = row["id"].as_str().unwrap_or_default().to_owned();
            if self.put(&mut kind, "apiKey", row).await? {
                self.keys.insert(key);
            }
        }
        if n_narrowed > 0 {
            self.report.notes.push(format!(
                "{n_narrowed} API keys had some permissions of 3.x but not all; here they only \
                 call the chatflows that ask for them."
            ));
        }
        self.report.kinds.push(kind);
        Ok(())
    }

    async fn chatflows(&mut self) -> anyhow::Result<()> {
        let places = self.source.database.places("chat_flow")?;
        let mut kind = Kind::new("chatflows", places.len() as u64);
        for place in places {
            let record = self.source.database.record("chat_flow", place)?;
            let row = rows::chatflow(&record);
            match file::parse_flow(row["flowData"].as_str().unwrap_or_default()) {
                Err(error) => kind.leave(1, format!("{}: {error}", named(&row))),
                Ok(flow) => {
                    let note = self.note_on(&record, &row, &flow);
                    if self.put(&mut kind, "chatflow", row).await? {
                        self.flows.extend(id(&record));
                        self.report.notes.extend(note);
                    }
                }
            }
        }
        self.report.kinds.push(kind);
        Ok(())
    }

    /// Moves what people said and left in chats, of chatflows that are here.
    async fn of_chats(
        &mut self,
        name: &'static str,
        table: &str,
        row_of: fn(&Record) -> (&'static str, Value),
    ) -> anyhow::Result<()> {
        let places = self.source.database.places(table)?;
        let mut kind = Kind::new(name, places.len() as u64);
        for place in places {
            let record = self.source.database.record(table, place)?;
            let flow = text(&record, "chatflowid").map(str::to_lowercase);
            if flow.is_none_or(|flow| !self.flows.contains(&flow)) {
                kind.leave(1, "their chatflow is not here");
                continue;
            }
            let (name, row) = row_of(&record);
            let is_id = |id: &str| Uuid::try_parse(id).is_ok();
            if !row["messageId"].as_str().is_none_or(is_id) {
                kind.leave(1, "their message is not here");
                continue;
            }
            self.put(&mut kind, name, row).await?;
        }
        self.report.kinds.push(kind);
        Ok(())
    }

    /// What a chatflow still needs before it answers as it did.
    fn note_on(&self, record: &Record, row: &Value, flow: &FlowData) -> Option<String> {
        let mut needs = Vec::new();
        let unsupported = plan::unsupported(flow.nodes.iter());
        if !unsupported.is_empty() {
            needs.push(format!("cannot run here yet: {}", unsupported.join(", ")));
        }
        let named_by_nodes = flow.nodes.iter().filter_map(|node| node.data.credential.as_deref());
        let missing = named_by_nodes.filter(|id| !id.is_empty());
        let n_missing = missing.filter(|id| !self.credentials.contains(&id.to_lowercase())).count();
        if n_missing > 0 {
            needs.push(format!("{n_missing} of its nodes name a credential that did not come"));
        }
        let is_set = |column: &&&str| text(record, column).is_some();
        let lost: Vec<&str> = rows::LEFT_SETTINGS.iter().filter(is_set).copied().collect();
        if !lost.is_empty() {
            needs.push(format!("these settings of 3.x have no place here: {}", lost.join(", ")));
        }
        let key = row["apikeyid"].as_str();
        if key.is_some_and(|key| !self.keys.contains(key)) {
            needs.push("it asks for an API key that did not come, so nobody can call it".into());
        }
        (!needs.is_empty()).then(|| format!("{}: {}.", named(row), needs.join("; ")))
    }

    /// Hands a row over and counts it; whether it is here now.
    async fn put(&mut self, kind: &mut Kind, name: &str, row: Value) -> anyhow::Result<bool> {
        if row["id"].as_str().is_none_or(|id| Uuid::try_parse(id).is_err()) {
            kind.leave(1, "their id is no UUID");
            return Ok(false);
        }
        Ok(self.sink.row(name, row).await?.count(kind))
    }

    /// Counts the rows of a table that stays behind.
    fn without_place(&mut self, kind: &'static str, table: &str, why: &str) -> anyhow::Result<()> {
        let n_rows = self.source.database.count(table)?;
        let is_usual = matches!(kind, "tools" | "assistants");
        if n_rows > 0 || is_usual {
            self.report.kinds.push(Kind::without_place(kind, n_rows, why));
        }
        Ok(())
    }

    /// What holds for the installation as a whole.
    fn notes(&mut self) -> anyhow::Result<()> {
        let Source { database, is_export, secret_is_own, .. } = self.source;
        self.report.changed_meanwhile = !database.is_unchanged();
        let facts = [
            (*is_export, AN_EXPORT),
            (!is_export && self.keys.is_empty(), NO_KEYS),
            (*secret_is_own, OWN_SECRET),
            (database.count("user")? > 0, USERS),
            (database.n_workspaces()? > 1, WORKSPACES),
            (self.report.changed_meanwhile, CHANGED),
            (self.report.dry_run, DRY_RUN),
        ];
        let notes = facts.into_iter().filter(|(holds, _)| *holds);
        self.report.notes.extend(notes.map(|(_, note)| note.to_owned()));
        Ok(())
    }
}

const AN_EXPORT: &str = "An export carries no credentials and no API keys; migrate Flowise's \
    folder itself to bring them along.";
const NO_KEYS: &str = "No API keys were found. Flowise keeps them in api.json beside its program \
    unless APIKEY_PATH names a folder; copy it beside the database and run this again.";
const OWN_SECRET: &str = "FLOWISE_SECRETKEY_OVERWRITE is set: a server that runs with it encrypts \
    its own credentials by it, and has to be started with it from then on.";
const USERS: &str = "The accounts of Flowise 3 do not come: operators sign in with \
    FLOWISE_USERNAME and FLOWISE_PASSWORD or with an API key.";
const WORKSPACES: &str = "There are no workspaces here: what was in several is together now.";
const CHANGED: &str = "The database was written to while it was read. Stop Flowise and run this \
    again: nothing will be doubled.";
const DRY_RUN: &str = "Nothing was changed, and what is here already was not looked at.";

fn id(record: &Record) -> Option<String> {
    text(record, "id").map(str::to_lowercase)
}

fn named(row: &Value) -> String {
    format!("\"{}\"", row["name"].as_str().unwrap_or_default())
}

fn reason(why: Locked) -> &'static str {
    match why {
        Locked::NoKey => {
            "no key to read them with: name Flowise's encryption.key with --secret FILE"
        }
        Locked::WrongKey => {
            "the key does not fit: name the encryption.key that they were made with, with \
             --secret FILE"
        }
        Locked::Elsewhere => "AWS Secrets Manager keeps them, not the database",
    }
}
