//! The server under test: the real binary on a folder and a port of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http::Caller;

/// The operator of every server that a test starts.
pub const USERNAME: &str = "operator";
/// The operator's password.
pub const PASSWORD: &str = "correct horse";

const READY: &str = "Parlor listens on ";
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// How a server is started.
#[derive(Clone)]
pub struct Options {
    args: Vec<String>,
    env: Vec<(String, String)>,
    open_files: Option<u32>,
}

impl Default for Options {
    /// Basic auth on, no example flow: a test knows every row of its server.
    fn default() -> Self {
        Self { args: vec!["--no-example".to_owned()], env: Vec::new(), open_files: None }
            .env("FLOWISE_USERNAME", USERNAME)
            .env("FLOWISE_PASSWORD", PASSWORD)
    }
}

impl Options {
    /// The same with the example flow that a first start installs.
    pub fn with_example(mut self) -> Self {
        self.args.retain(|arg| arg != "--no-example");
        self
    }

    /// The same with one more environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with more options of the command.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// The same, begun with no more open files; more are allowed to it.
    pub fn open_files(self, n: u32) -> Self {
        Self { open_files: Some(n), ..self }
    }

    /// The same with a stand-in for a provider: `openai`, `anthropic`, `ollama`.
    pub fn provider(mut self, name: &str, url: &str) -> Self {
        self.args.extend(["--provider-url".to_owned(), format!("{name}={url}")]);
        self
    }
}

/// A running server; it is killed, by its own process id, when dropped.
pub struct Parlor {
    child: Child,
    base: String,
    log: Arc<Mutex<String>>,
    options: Options,
    folder: Arc<TempDir>,
}

impl Parlor {
    /// A server on a new folder with the default options.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// A server on a new folder.
    pub fn start_with(options: Options) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        Self::start_on(Arc::new(folder), options)
    }

    /// A server on a folder that exists.
    pub fn start_on(folder: Arc<TempDir>, options: Options) -> Self {
        let binary = env!("CARGO_BIN_EXE_parlor");
        let mut command = match options.open_files {
            None => bare(binary, &folder),
            // Its soft limit alone; the process becomes the binary.
            Some(n) => {
                let mut command = bare("prlimit", &folder);
                command.args([&format!("--nofile={n}:"), "--", binary]);
                command
            }
        };
        command.args(["serve", "--host", "127.0.0.1", "--port", "0", "--data-dir"]);
        command.arg(folder.path()).args(&options.args);
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the parlor binary can be started");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is a pipe");
        keep_log(stderr, Arc::clone(&log));
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let base = match wait_for_address(&ready_lines(stdout)) {
            Ok(base) => base,
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server {why}; its log:\n{}", log.lock().unwrap());
            }
        };
        Self { child, base, log, options, folder }
    }

    /// `127.0.0.1:PORT`, for raw sockets.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// The folder that the server keeps its data in.
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// What the server wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Somebody from the street: no credentials.
    pub fn anyone(&self) -> Caller {
        Caller::new(&self.base)
    }

    /// The operator, by Basic auth.
    pub fn operator(&self) -> Caller {
        self.anyone().basic(USERNAME, PASSWORD)
    }

    /// Ends the process as a power cut would: no chance to flush anything.
    pub fn kill9(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server can be waited for");
    }

    /// Asks the process to stop, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        self.ended().await
    }

    /// Asks the process to stop.
    pub fn send_sigterm(&self) {
        self.signal("TERM");
    }

    /// Sends the process the signal of this name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$0\"", &self.child.id().to_string(), name])
            .status()
            .expect("sh can be started");
        assert!(sent.success(), "the server was gone before SIG{name} reached it");
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the server can be waited for") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server did not stop within {STOP_LIMIT:?}");
    }

    /// A server with the same folder and options, on a new port. The old one
    /// must have ended.
    pub fn restart(mut self) -> Self {
        let ended = self.child.try_wait().expect("the server can be waited for");
        assert!(ended.is_some(), "kill or terminate the server before it is restarted");
        Self::start_on(Arc::clone(&self.folder), self.options.clone())
    }

    /// Runs another command of the binary on this server's folder.
    pub fn command(&self, args: &[&str]) -> std::process::Output {
        run_command(&self.folder, args)
    }

    /// The same while the model servers of the test go on answering.
    pub async fn command_aside(&self, args: &[&str]) -> std::process::Output {
        let folder = self.folder();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let run = move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            run_command(&folder, &args)
        };
        tokio::task::spawn_blocking(run).await.expect("the command ran")
    }
}

impl Drop for Parlor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the server at {}:\n{}", self.base, self.log());
        }
    }
}

/// Runs `parlor ARGS --data-dir FOLDER` to its end.
pub fn run_command(folder: &TempDir, args: &[&str]) -> std::process::Output {
    let mut command = bare(env!("CARGO_BIN_EXE_parlor"), folder);
    command.args(args).arg("--data-dir").arg(folder.path()).stdin(Stdio::null());
    command.output().expect("the parlor binary can be started")
}

/// A program in an empty environment: keys and settings of the machine that
/// runs the tests must not reach it.
fn bare(program: &str, folder: &TempDir) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", folder.path());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Keeps whole lines, so that who finds a word finds all that was said with it.
fn keep_log(stderr: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while let Ok(1..) = stderr.read_until(b'\n', &mut line) {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// The lines of stdout. The thread reads on after the one that matters, so
/// that a full pipe never stops the server.
fn ready_lines(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

fn wait_for_address(lines: &Receiver<String>) -> Result<String, String> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if let Some((_, address)) = line.split_once(READY) {
                    return Ok(address.trim().trim_end_matches('/').to_owned());
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("printed no '{READY}...' within {START_LIMIT:?}"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("ended without printing '{READY}...'"));
            }
        }
    }
}
