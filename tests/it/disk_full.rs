//! P12: on a full disk nothing is acknowledged that is not stored, and the
//! server recovers by itself when there is room again.
//!
//! The disk is a small file system in memory, so these tests need the right to
//! mount one (root). Without it they fail and say so: they must not look passed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::flows::assert_whole_turns;
use crate::support::{Options, Parlor, Scripted, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

/// A file system of so many MiB on a folder of its own, unmounted when dropped.
struct SmallDisk(Arc<TempDir>);

impl SmallDisk {
    fn mount(mib: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m,mode=0700");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "parlor-test"]).arg(folder.path());
        let mounted = command.output();
        let is_mounted = mounted.as_ref().is_ok_and(|output| output.status.success());
        assert!(
            is_mounted,
            "NOT TESTED: a full disk needs a small file system, and none can be mounted here; \
             run the tests as root ({mounted:?})"
        );
        Self(Arc::new(folder))
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Takes all room but about so many bytes.
    fn fill(&self, leave: u64) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.filler()).unwrap();
        let piece = vec![1; 64 * 1024];
        while fs2::available_space(self.0.path()).unwrap() > leave {
            if file.write_all(&piece).is_err() {
                return;
            }
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a server that a failed test left may still use it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Asks one turn; whether it was acknowledged.
async fn ask(server: &Parlor, flow: &str, session: &str, n: usize) -> bool {
    let question = format!("{session}#{n} {}", "x".repeat(2_000));
    let body = json!({"question": question, "overrideConfig": {"sessionId": session}});
    let reply = server.ask(flow, &body).await;
    if reply.status != 200 {
        assert_eq!(reply.status, 503, "{reply:?}");
        let why = reply.error_message();
        assert!(!why.contains("panic") && !why.contains(".rs"), "{why}");
    }
    reply.status == 200
}

/// What a client that goes on asking was told.
#[derive(Default)]
struct Told {
    n_taken: AtomicUsize,
    n_refused: AtomicUsize,
}

/// Asks in a session of its own until it is told to stop; the turns that were
/// acknowledged.
async fn ask_on(
    server: Arc<Parlor>,
    flow: String,
    session: String,
    stop: Arc<AtomicBool>,
    told: Arc<Told>,
) -> (String, Vec<usize>) {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if ask(&server, &flow, &session, n).await {
            acknowledged.push(n);
            told.n_taken.fetch_add(1, Ordering::Relaxed);
        } else {
            told.n_refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    (session, acknowledged)
}

/// What was acknowledged is stored, in its order, and nothing that was refused.
async fn assert_stored(server: &Parlor, flow: &str, session: &str, acknowledged: &[usize]) {
    let messages = server.messages(flow, &format!("sessionId={session}&order=ASC")).await;
    assert_whole_turns(&messages);
    let number = |text: &str| {
        let rest = text.strip_prefix(session).unwrap().strip_prefix('#').unwrap();
        rest.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let stored: Vec<_> = messages.chunks(2).map(|pair| number(&pair[0].1)).collect();
    assert_eq!(stored, acknowledged, "{session}");
}

#[tokio::test]
async fn p12_a_full_disk_refuses_turns_keeps_what_it_acknowledged_and_recovers_by_itself() {
    let disk = SmallDisk::mount(64);
    let model = Scripted::saying("Yes.").await;
    let mut server = Parlor::start_on(disk.0.clone(), Options::default());
    let flow = server.install_conversation(&model.basepath()).await;
    let mut acknowledged = Vec::new();
    for n in 0..5 {
        assert!(ask(&server, &flow, "s", n).await);
        acknowledged.push(n);
    }
    disk.fill(1024 * 1024);
    for n in 5..10 {
        assert!(!ask(&server, &flow, "s", n).await, "acknowledged on a full disk");
    }
    // Reading goes on, and nothing of what was refused shows up.
    assert_stored(&server, &flow, "s", &acknowledged).await;
    disk.free();
    for n in 10..15 {
        if ask(&server, &flow, "s", n).await {
            acknowledged.push(n);
        }
    }
    assert!(acknowledged.contains(&14), "the server did not recover");
    server.kill9();
    let server = server.restart();
    assert_stored(&server, &flow, "s", &acknowledged).await;
}

#[tokio::test]
async fn p12_a_disk_that_fills_up_under_load_loses_nothing_that_was_acknowledged() {
    let disk = SmallDisk::mount(64);
    let model = Scripted::saying("Yes.").await;
    let server = Arc::new(Parlor::start_on(disk.0.clone(), Options::default()));
    let flow = server.install_conversation(&model.basepath()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let told: Vec<Arc<Told>> = (0..4).map(|_| Arc::default()).collect();
    let tasks = told.iter().enumerate().map(|(client, told)| {
        let (server, flow, stop) = (server.clone(), flow.clone(), stop.clone());
        tokio::spawn(ask_on(server, flow, format!("s{client}"), stop, told.clone()))
    });
    let tasks: Vec<_> = tasks.collect();
    // To the last byte, so that a write of the database itself fails too. Every
    // client is to meet a full disk and a free one, however slow the machine is.
    let count = |of: fn(&Told) -> &AtomicUsize| -> Vec<usize> {
        told.iter().map(|told| of(told).load(Ordering::Relaxed)).collect()
    };
    let all_above = |now: Vec<usize>, before: &[usize]| now.iter().zip(before).all(|(n, b)| n > b);
    for _ in 0..3 {
        let taken = count(|told| &told.n_taken);
        let takes = async || all_above(count(|told| &told.n_taken), &taken);
        assert!(eventually(PATIENCE, takes).await, "no recovery");
        disk.fill(0);
        let refused = count(|told| &told.n_refused);
        let refuses = async || all_above(count(|told| &told.n_refused), &refused);
        assert!(eventually(PATIENCE, refuses).await, "a full disk took turns");
        disk.free();
    }
    let taken = count(|told| &told.n_taken);
    let takes = async || all_above(count(|told| &told.n_taken), &taken);
    assert!(eventually(PATIENCE, takes).await, "no recovery");
    stop.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for task in tasks {
        told.push(task.await.unwrap());
    }
    let mut server = Arc::into_inner(server).unwrap();
    server.kill9();
    let server = server.restart();
    for (session, acknowledged) in &told {
        assert_stored(&server, &flow, session, acknowledged).await;
    }
    let verified = server.command(&["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}
