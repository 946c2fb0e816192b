//! Flowise's own client libraries, run by the small scripts of `tests/clients`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::server::Parlor;
use super::{sse, tools};

/// A client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// npm's flowise-sdk.
    JavaScript,
    /// PyPI's flowise.
    Python,
}

/// Both libraries: what holds for one must hold for the other.
pub const BOTH: [Sdk; 2] = [Sdk::JavaScript, Sdk::Python];

/// What a program that uses the library saw.
#[derive(Debug, Clone)]
pub struct Outcome(Value);

impl Sdk {
    /// Asks without a key. `data` holds the library's own arguments by name.
    pub async fn ask(self, server: &Parlor, data: &Value) -> Outcome {
        self.ask_with_key(server, None, data).await
    }

    /// Asks with an API key.
    pub async fn ask_with_key(self, server: &Parlor, key: Option<&str>, data: &Value) -> Outcome {
        let mut options = json!({"baseUrl": format!("http://{}", server.address())});
        if let Some(key) = key {
            options["apiKey"] = json!(key);
        }
        let question = json!({"options": options, "data": data}).to_string();
        // A client that waits must not stop the model server of the same test.
        let printed = tokio::task::spawn_blocking(move || run(self.command(), &question)).await;
        Outcome(serde_json::from_str(&printed.expect("the script ran")).expect("one JSON document"))
    }

    fn command(self) -> Command {
        match self {
            Self::JavaScript => tools::node("clients/sdk.mjs", "flowise-sdk"),
            Self::Python => {
                let mut command = tools::python("python");
                command.arg(tools::tests_folder("clients/sdk.py"));
                command
            }
        }
    }
}

impl Outcome {
    /// The answer that came as one object.
    pub fn reply(&self) -> &Value {
        assert!(self.0["reply"].is_object(), "no whole answer: {self:?}");
        &self.0["reply"]
    }

    /// The events of an answer that came as a stream.
    pub fn events(&self) -> Vec<sse::Event> {
        assert!(self.0["thrown"].is_null() && self.0["events"].is_array(), "no stream: {self:?}");
        let events = self.0["events"].as_array().into_iter().flatten();
        let name = |event: &Value| event["event"].as_str().expect("a name").to_owned();
        events.map(|event| sse::Event { name: name(event), data: event["data"].clone() }).collect()
    }

    /// The words of the error that the library threw.
    pub fn thrown(&self) -> &str {
        self.0["thrown"].as_str().unwrap_or_else(|| panic!("nothing was thrown: {self:?}"))
    }
}

/// Runs a script to its end, with this on its stdin, and gives its stdout.
pub fn run(mut command: Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(input.as_bytes()).expect("the script reads its stdin");
    drop(stdin);
    let output = child.wait_with_output().expect("the script can be waited for");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    String::from_utf8(output.stdout).expect("the script prints UTF-8")
}
