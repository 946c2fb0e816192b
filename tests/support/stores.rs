//! Servers that hold vectors, each on a loopback port of its own: Chroma's
//! real one, and two in Python that speak as Qdrant and Pinecone do. They end
//! with the test.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;

use super::tools;

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server.
pub struct StoreServer {
    child: Child,
    url: String,
    _folder: Option<TempDir>,
}

impl StoreServer {
    /// Chroma, from PyPI.
    pub fn chroma() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let port = free_port();
        let mut command = tools::python("chroma");
        command.args(["run", "--host", "127.0.0.1", "--port", &port.to_string(), "--path"]);
        command.arg(folder.path()).env("ANONYMIZED_TELEMETRY", "False");
        let (child, lines) = spawn(command);
        wait_for(lines, "listening on address").expect("Chroma starts");
        Self { child, url: format!("http://127.0.0.1:{port}"), _folder: Some(folder) }
    }

    /// The local mode of Qdrant's own client behind Qdrant's paths.
    pub fn qdrant() -> Self {
        Self::script("qdrant_server.py")
    }

    /// An index of three dimensions; its key is `right-key`.
    pub fn pinecone() -> Self {
        Self::script("pinecone_server.py")
    }

    fn script(name: &str) -> Self {
        let mut command = tools::python("python");
        command.arg(tools::tests_folder("clients").join(name));
        let (child, lines) = spawn(command);
        let url = wait_for(lines, "http://").unwrap_or_else(|| panic!("{name} does not start"));
        Self { child, url, _folder: None }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn spawn(mut command: Command) -> (Child, ChildStdout) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}"));
    let lines = child.stdout.take().expect("stdout is a pipe");
    (child, lines)
}

/// The first line with these words; the rest is read on, so that a full pipe
/// never stops the server.
fn wait_for(lines: ChildStdout, words: &'static str) -> Option<String> {
    let (sender, found) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            if line.contains(words) {
                let _ = sender.send(line);
            }
        }
    });
    found.recv_timeout(START_LIMIT).ok()
}
