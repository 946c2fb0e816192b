//! A process under measurement: started, waited for until it listens, always ended.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::client;

/// A process that does not listen after this long has failed.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A child process that listens on a loopback port. Dropping it ends the process.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the start of the process to the line that says it listens.
    pub ready_after: Duration,
}

impl Service {
    /// Starts a program and waits for its line `... listens on http://HOST:PORT`. What it
    /// writes to its standard error goes to a file in `log_dir`.
    pub fn start(
        name: &'static str,
        command: &mut Command,
        log_dir: &Path,
    ) -> anyhow::Result<Self> {
        let log = log_dir.join(format!("{name}.log"));
        let log_file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let lines = child.stdout.take().context("the child has no output")?;
        // Ends the child too if one of the next steps fails.
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut service = Self { name, child, address, ready_after: Duration::ZERO };
        let Ok((url, at)) = first_url(lines).recv_timeout(START_LIMIT) else {
            bail!("{name} did not say that it listens; it wrote: {}", tail_of(&log));
        };
        service.address = client::loopback(&url)?;
        service.ready_after = at - started;
        Ok(service)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the process the hard way, as `kill -9` does, and waits until it is gone.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("ending {}", self.name))?;
        self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the first address that the process prints and when it did, then reads on, since
/// a full pipe would stop the process. Reading starts before this returns.
fn first_url(output: ChildStdout) -> Receiver<(String, Instant)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Some((_, url)) = line.split_once("listens on ") else { continue };
            let url = url.split_ascii_whitespace().next().unwrap_or_default().to_owned();
            // Nobody waits any more if the time ran out.
            sender
                .take()
                .into_iter()
                .for_each(|sender| drop(sender.send((url.clone(), Instant::now()))));
        }
    });
    receiver
}

fn tail_of(log: &PathBuf) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_service_is_ended_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = shell("echo It listens on http://127.0.0.1:9; exec sleep 60");
        let service = Service::start("sleeper", &mut command, dir.path()).unwrap();
        let proc = PathBuf::from(format!("/proc/{}", service.pid()));
        assert_eq!(service.url(), "http://127.0.0.1:9");
        assert!(proc.exists());
        drop(service);
        assert!(!proc.exists());
    }

    #[test]
    fn a_service_that_ends_at_once_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = Service::start("broken", &mut shell("echo no room >&2"), dir.path());
        assert!(error.unwrap_err().to_string().contains("no room"));
    }
}
