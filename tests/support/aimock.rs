//! Starts aimock, a mock server of the providers' wire formats that was not
//! written here, so that the clients of this project are not tested against
//! their own author's reading of the formats.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Caller;
use super::{scripted_wire, tools};

const START_LIMIT: Duration = Duration::from_secs(60);
/// The script that `npx aimock` runs; started directly, so that the process
/// that is stopped at the end is aimock and not a wrapper around it.
const SCRIPT: &str = "node_modules/@copilotkit/aimock/dist/aimock-cli.js";

/// A running aimock; it stops when dropped.
pub struct Aimock {
    child: Child,
    base: String,
    _folder: TempDir,
}

impl Aimock {
    /// Starts a server that knows these fixtures, in aimock's own notation:
    /// `[{"match": {...}, "response": {...}}]`. Answers are streamed in pieces
    /// of eight characters.
    pub fn start(fixtures: &Value) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let config = write_config(folder.path(), fixtures, None, true);
        Self::with_config(folder, &config)
    }

    /// The same, but who asks for vectors that no fixture has gets vectors made
    /// of the text: the same for the same text.
    pub fn embedding(fixtures: &Value) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let config = write_config(folder.path(), fixtures, None, false);
        Self::with_config(folder, &config)
    }

    /// A server of these vector collections, in aimock's own notation, below
    /// the path `/vector`.
    pub fn with_vectors(collections: &Value) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let config = write_config(folder.path(), &json!([]), Some(collections), true);
        Self::with_config(folder, &config)
    }

    fn with_config(folder: TempDir, config: &Path) -> Self {
        let mut child = tools::node(SCRIPT, "@copilotkit/aimock")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("aimock cannot be started: {error}"));
        let base = wait_for_address(&mut child);
        Self { child, base, _folder: folder }
    }

    /// A server that gives everybody the same answer.
    pub fn saying(text: &str) -> Self {
        Self::start(&json!([{"match": {}, "response": {"content": text}}]))
    }

    /// `http://127.0.0.1:PORT`: where Anthropic and Ollama are.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The base path to type into an OpenAI node.
    pub fn basepath(&self) -> String {
        format!("{}/v1", self.base)
    }

    /// Whether the server says of itself that it is well.
    pub async fn is_healthy(&self) -> bool {
        Caller::new(&self.base).get("/health").await.status == 200
    }

    /// The requests that it received, oldest first, from its journal. Bodies
    /// are in OpenAI's form whatever the provider: a system text of Anthropic
    /// is the first message.
    pub async fn received(&self) -> Vec<Call> {
        let journal = Caller::new(&self.base).get("/__aimock/journal").await.expect(200).json();
        let entries = journal.as_array().expect("the journal is an array");
        entries.iter().map(Call::from_entry).collect()
    }
}

/// A request in aimock's journal.
#[derive(Debug, Clone)]
pub struct Call {
    /// Path of the provider's API.
    pub path: String,
    /// The normalised body.
    pub body: Value,
}

impl Call {
    fn from_entry(entry: &Value) -> Self {
        let path = entry["path"].as_str().unwrap_or_default().to_owned();
        Self { path, body: entry["body"].clone() }
    }

    /// The messages as (role, content).
    pub fn messages(&self) -> Vec<(String, String)> {
        scripted_wire::messages(&self.body)
    }
}

impl Drop for Aimock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(
    folder: &Path,
    fixtures: &Value,
    collections: Option<&Value>,
    is_strict: bool,
) -> PathBuf {
    let fixtures_file = folder.join("fixtures.json");
    let config_file = folder.join("aimock.json");
    let mut config = json!({
        "host": "127.0.0.1", "port": 0, "strict": is_strict,
        "llm": {"fixtures": fixtures_file, "chunkSize": 8, "logLevel": "warn"},
    });
    if let Some(collections) = collections {
        config["vector"] = json!({"path": "/vector", "collections": collections});
    }
    std::fs::write(&fixtures_file, json!({"fixtures": fixtures}).to_string()).expect("writable");
    std::fs::write(&config_file, config.to_string()).expect("writable");
    config_file
}

fn wait_for_address(child: &mut Child) -> String {
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let (sender, lines) = channel();
    // The thread reads on to the end, so that a full pipe never stops aimock.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    while let Ok(line) = lines.recv_timeout(START_LIMIT) {
        if let Some((_, address)) = line.split_once("listening on ") {
            return address.trim().to_owned();
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("aimock did not start");
}
