//! A server under measurement: started, watched, ended with all its processes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use super::tree;

/// Open files that a run wants: Flowise keeps one for each request that it answered.
const OPEN_FILES: u64 = 65_536;

/// How often the memory of a server is read while it works.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// A running server. Dropping it ends it and its children.
#[derive(Debug)]
pub struct Host {
    child: Child,
    log: PathBuf,
    peak: Arc<Peak>,
    /// Where it listens, or will.
    pub address: SocketAddr,
    /// When its process was started.
    pub started: Instant,
}

/// The most memory that a server was seen with.
#[derive(Debug, Default)]
struct Peak {
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Host {
    /// Starts a server whose own words go to a file.
    pub fn start(command: &mut Command, address: SocketAddr, log: &Path) -> anyhow::Result<Self> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let errors = out.try_clone().context("a second handle of the log")?;
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let peak = Arc::new(Peak::default());
        watch(child.id(), peak.clone());
        Ok(Self { child, log: log.to_owned(), peak, address, started })
    }

    /// Why it runs no more, with its last words; nothing while it runs.
    pub fn died(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: String = last.chars().filter(|c| !c.is_control()).take(160).collect();
        Some(format!("died ({status}): {last}"))
    }

    /// Processor time of all its processes.
    pub fn processor_time(&self) -> Duration {
        tree::processor_time(self.child.id())
    }

    /// Resident memory of all its processes now.
    pub fn resident_bytes(&self) -> u64 {
        tree::resident_bytes(self.child.id())
    }

    /// Forgets what was seen so far: starting may take more than working.
    pub fn forget_peak(&self) {
        self.peak.bytes.store(0, Ordering::Relaxed);
    }

    /// The most that was seen since.
    pub fn peak_bytes(&self) -> u64 {
        self.peak.bytes.load(Ordering::Relaxed).max(self.resident_bytes())
    }

    /// Waits until it has nothing to do, or so long.
    pub async fn settle(&self, limit: Duration) {
        const LOOK: Duration = Duration::from_millis(200);
        let until = Instant::now() + limit;
        let mut before = self.processor_time();
        while Instant::now() < until {
            tokio::time::sleep(LOOK).await;
            let after = self.processor_time();
            if after.saturating_sub(before) < LOOK / 4 {
                return;
            }
            before = after;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.peak.ended.store(true, Ordering::Relaxed);
        // Of an ended process nothing is left that could be ended, and its number may be
        // another's by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        for pid in tree::of(self.child.id()).into_iter().rev() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // One that has ended meanwhile is as good.
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = self.child.wait();
    }
}

fn watch(pid: u32, peak: Arc<Peak>) {
    std::thread::spawn(move || {
        while !peak.ended.load(Ordering::Relaxed) {
            peak.bytes.fetch_max(tree::resident_bytes(pid), Ordering::Relaxed);
            std::thread::park_timeout(SAMPLE_EVERY);
        }
    });
}

/// A port on loopback that nobody has at the moment.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Raises the limit of open files, which the servers inherit; returns what it is then.
pub fn raise_open_files() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let wanted = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    // Only an administrator may raise the hard limit; up to it, everybody may.
    let hard = now.maximum.unwrap_or(OPEN_FILES);
    let tries = [OPEN_FILES.max(hard), hard];
    let set = tries.into_iter().find(|limit| setrlimit(Resource::Nofile, wanted(*limit)).is_ok());
    set.or(now.current).unwrap_or(hard)
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
    fn a_server_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let host = Host::start(&mut shell("sleep 60 & sleep 60; true"), address, &log).unwrap();
        let root = host.child.id();
        while tree::of(root).len() < 3 {
            std::thread::yield_now();
        }
        let members = tree::of(root);
        drop(host);
        let lives = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while members.iter().any(lives) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_server_that_ends_by_itself_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let log = dir.path().join("log");
        let mut host = Host::start(&mut shell("echo no room; exit 3"), address, &log).unwrap();
        let said = loop {
            if let Some(said) = host.died() {
                break said;
            }
            std::thread::yield_now();
        };
        assert!(said.contains("exit status: 3") && said.ends_with("no room"), "{said}");
    }
}
