//! A real Redis on a loopback port of its own; it ends with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;

use super::ports::free_port;

const HOW_TO_INSTALL: &str =
    "the tests of Redis need redis-server: install Debian's package of that name";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server.
pub struct Redis {
    child: Child,
    port: u16,
    password: Option<String>,
    folder: TempDir,
}

impl Redis {
    /// A server without a password.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// A server that asks for a password, or for none.
    pub fn start_with(password: Option<&str>) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let password = password.map(str::to_owned);
        // Another process may take the port before Redis does.
        for _ in 0..5 {
            let port = free_port();
            if let Some(child) = spawn(port, password.as_deref(), &folder) {
                return Self { child, port, password, folder };
            }
        }
        panic!("redis-server did not start: {HOW_TO_INSTALL}");
    }

    /// Where it is, as a credential's URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the process; what it was told is on its disk.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends the process and starts it anew, on the same port and data.
    pub fn restart(&mut self) {
        self.stop();
        let child = spawn(self.port, self.password.as_deref(), &self.folder);
        self.child = child.expect("Redis comes back on its port");
    }

    /// Runs a command and gives the lines of its answer.
    pub fn command(&self, args: &[&str]) -> Vec<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        if let Some(password) = &self.password {
            command.env("REDISCLI_AUTH", password);
        }
        let output = command.args(args).output().expect(HOW_TO_INSTALL);
        let text = String::from_utf8(output.stdout).expect("redis-cli answers in UTF-8");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(port: u16, password: Option<&str>, folder: &TempDir) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder.path());
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{error}: {HOW_TO_INSTALL}"));
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let (sender, lines) = channel();
    // The thread reads on to the end, so that a full pipe never stops Redis.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    while let Ok(line) = lines.recv_timeout(START_LIMIT) {
        if line.contains("eady to accept connections") {
            return Some(child);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
