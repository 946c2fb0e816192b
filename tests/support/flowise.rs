//! A Flowise installation to move in from: a folder with a real SQLite file,
//! with the tables that the migrations of 2.2.8 and 3.1.3 leave behind, and
//! credentials encrypted as crypto-js does it.

use std::path::{Path, PathBuf};
use std::process::Command;

use aes::Aes256;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockEncryptMut, KeyIvInit};
use md5::{Digest, Md5};
use rusqlite::{Connection, params};
use serde_json::Value;
use tempfile::TempDir;

/// What `encryption.key` holds.
pub const SECRET: &str = "c29tZSBzZWNyZXQgb2YgZmxvd2lzZQ==";

const MADE: &str = "DEFAULT (datetime('now'))";

/// Which version made the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V2_2_8,
    V3_1_3,
}

/// The folder.
pub struct Flowise {
    folder: TempDir,
    db: Connection,
}

impl Flowise {
    /// A new installation with its key and without a row.
    pub fn new(version: Version) -> Self {
        let own = Self::bare();
        own.db.execute_batch(&tables(version)).expect("the tables can be made");
        std::fs::write(own.path().join("encryption.key"), SECRET).unwrap();
        own
    }

    /// A folder with a database without tables.
    pub fn bare() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let db = Connection::open(folder.path().join("database.sqlite")).expect("a database");
        Self { folder, db }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join("database.sqlite")
    }

    /// Runs statements.
    pub fn sql(&self, statements: &str) {
        self.db.execute_batch(statements).expect("good SQL");
    }

    /// Stores a row of the columns that are given; all others keep their defaults.
    pub fn insert(&self, table: &str, row: &Value) {
        let row = row.as_object().expect("a row is an object");
        let names: Vec<String> = row.keys().map(|name| format!("\"{name}\"")).collect();
        let marks: Vec<String> = (1..=row.len()).map(|n| format!("?{n}")).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(","), marks.join(","));
        let values = row.values().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Bool(flag) => i64::from(*flag).into(),
            Value::Number(number) => number.as_i64().unwrap().into(),
            Value::String(text) => text.clone().into(),
            tree => tree.to_string().into(),
        });
        self.db.execute(&sql, rusqlite::params_from_iter(values)).expect("a row can be stored");
    }

    /// Stores a credential as Flowise does.
    pub fn credential(&self, id: &str, kind: &str, fields: &Value) {
        let sql =
            "INSERT INTO credential (id, name, credentialName, encryptedData) VALUES (?1,?2,?3,?4)";
        let sealed = encrypt(&fields.to_string(), SECRET);
        self.db.execute(sql, params![id, "my credential", kind, sealed]).unwrap();
    }

    /// What Debian's own `sqlite3` says to a statement, read-only: a witness
    /// that is not written here.
    pub fn ask_sqlite3(&self, statement: &str) -> String {
        let mut command = Command::new("sqlite3");
        let output = command.arg("-readonly").arg(self.file()).arg(statement).output();
        let output = output.expect("the command sqlite3 is there; install the package sqlite3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// `AES.encrypt(plain, passphrase).toString()` of crypto-js, with a fixed salt.
pub fn encrypt(plain: &str, passphrase: &str) -> String {
    let salt = b"saltsalt";
    let mut material = Vec::new();
    while material.len() < 48 {
        let before = &material[material.len().saturating_sub(16)..];
        let sum = Md5::new().chain_update(before).chain_update(passphrase).chain_update(salt);
        let sum = sum.finalize();
        material.extend_from_slice(&sum);
    }
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&material[..32], &material[32..]);
    let sealed = cipher.unwrap().encrypt_padded_vec_mut::<Pkcs7>(plain.as_bytes());
    BASE64_STANDARD.encode([b"Salted__".as_slice(), salt, &sealed].concat())
}

/// The tables as the migrations leave them, in their order of columns.
fn tables(version: Version) -> String {
    let id = "id varchar PRIMARY KEY NOT NULL";
    let dates =
        format!("createdDate datetime NOT NULL {MADE}, updatedDate datetime NOT NULL {MADE}");
    let v3 = version == Version::V3_1_3;
    let workspace = if v3 { ", workspaceId TEXT" } else { "" };
    let flow_type = if v3 { "VARCHAR(20) NOT NULL DEFAULT 'CHATFLOW'" } else { "TEXT" };
    let flow_more = if v3 {
        ", textToSpeech TEXT, mcpServerConfig TEXT, webhookSecret TEXT,
         webhookSecretConfigured BOOLEAN DEFAULT FALSE"
    } else {
        ""
    };
    let message_more = if v3 { ", executionId varchar, reasonContent TEXT" } else { "" };
    let key_more = if v3 {
        format!(", createdDate datetime NOT NULL {MADE}, permissions TEXT NOT NULL DEFAULT '[]'")
    } else {
        String::new()
    };
    let mut sql = format!(
        "CREATE TABLE chat_flow ({id}, name varchar NOT NULL, flowData text NOT NULL,
            deployed boolean, isPublic boolean, apikeyid varchar, chatbotConfig text, {dates},
            apiConfig TEXT, analytic TEXT, category TEXT, speechToText TEXT, type {flow_type},
            followUpPrompts TEXT{workspace}{flow_more});
         CREATE TABLE chat_message ({id}, role varchar NOT NULL, chatflowid varchar NOT NULL,
            content text NOT NULL, sourceDocuments text, usedTools text, fileAnnotations text,
            fileUploads text, createdDate datetime NOT NULL {MADE},
            chatType VARCHAR NOT NULL DEFAULT 'INTERNAL', chatId VARCHAR NOT NULL,
            memoryType VARCHAR, sessionId VARCHAR, leadEmail TEXT, agentReasoning TEXT,
            action TEXT, artifacts TEXT, followUpPrompts TEXT{message_more});
         CREATE INDEX IDX_message_flow ON chat_message (chatflowid);
         CREATE TABLE credential ({id}, name varchar NOT NULL, credentialName varchar NOT NULL,
            encryptedData text NOT NULL, {dates}{workspace});
         CREATE TABLE variable ({id}, name text NOT NULL, value text, type varchar, {dates}{workspace});
         CREATE TABLE apikey ({id}, apiKey varchar NOT NULL, apiSecret varchar NOT NULL,
            keyName varchar NOT NULL, updatedDate datetime NOT NULL {MADE}{workspace}{key_more});
         CREATE TABLE tool ({id}, name varchar NOT NULL, description text NOT NULL,
            color varchar NOT NULL, iconSrc varchar, schema text, func text, {dates}{workspace});
         CREATE TABLE assistant ({id}, details text NOT NULL, credential varchar NOT NULL,
            iconSrc varchar, {dates}{workspace}, type TEXT);
         CREATE TABLE chat_message_feedback ({id}, chatflowid varchar NOT NULL,
            chatId varchar NOT NULL, messageId varchar NOT NULL, rating varchar NOT NULL,
            content text, createdDate datetime NOT NULL {MADE});
         CREATE TABLE lead ({id}, chatflowid varchar NOT NULL, chatId varchar NOT NULL, name text,
            email text, phone text, createdDate datetime NOT NULL {MADE});
         CREATE TABLE upsert_history ({id}, chatflowid varchar NOT NULL, result text NOT NULL,
            flowData text NOT NULL, date datetime NOT NULL {MADE});"
    );
    if v3 {
        sql.push_str(&format!(
            "CREATE TABLE execution ({id}, executionData text NOT NULL, action text,
                state varchar NOT NULL, agentflowId varchar NOT NULL, sessionId varchar NOT NULL,
                isPublic boolean, {dates}, stoppedDate datetime, workspaceId varchar);"
        ));
    }
    sql
}
