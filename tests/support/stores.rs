//! Servers that hold vectors, each on a loopback port of its own: Chroma's
//! real one, and two in Python that speak as Qdrant and Pinecone do. They end with
//! the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;

use super::ports::free_port;
use super::tools;

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server.
pub struct StoreServer {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl StoreServer {
    /// Chroma, from PyPI.
    pub fn chroma() -> Self {
        let mut why = String::new();
        // Another process may take the port before Chroma does.
        for _ in 0..5 {
            let folder = TempDir::new().expect("a temporary folder can be made");
            let port = free_port();
            let mut command = tools::python("chroma");
            command.args(["run", "--host", "127.0.0.1", "--port", &port.to_string(), "--path"]);
            command.arg(folder.path()).env("ANONYMIZED_TELEMETRY", "False");
            match start(command, "listening on address", folder.path()) {
                Ok((child, _)) => {
                    let url = format!("http://127.0.0.1:{port}");
                    return Self { child, url, _folder: folder };
                }
                Err(said) => why = said,
            }
        }
        panic!("Chroma does not start: {why}");
    }

    /// The local mode of Qdrant's own client behind Qdrant's paths.
    pub fn qdrant() -> Self {
        Self::script("qdrant_server.py")
    }

    /// An index of three dimensions; its key is `right-key`.
    pub fn pinecone() -> Self {
        Self::script("pinecone_server.py")
    }

    /// A script of `tests/clients` that prints its address.
    pub fn script(name: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut command = tools::python("python");
        command.arg(tools::tests_folder("clients").join(name));
        let started = start(command, "http://", folder.path());
        let (child, url) = started.unwrap_or_else(|why| panic!("{name} does not start: {why}"));
        Self { child, url, _folder: folder }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Starts a program and waits for its line with these words, or says what it
/// complained of instead; then it has ended.
fn start(
    mut command: Command,
    words: &'static str,
    folder: &Path,
) -> Result<(Child, String), String> {
    let file = folder.join("complaints");
    let complaints = std::fs::File::create(&file).expect("a file can be made");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(complaints);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}"));
    let lines = child.stdout.take().expect("stdout is a pipe");
    if let Some(line) = wait_for(lines, words) {
        return Ok((child, line));
    }
    end(&mut child);
    Err(std::fs::read_to_string(&file).unwrap_or_default())
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
