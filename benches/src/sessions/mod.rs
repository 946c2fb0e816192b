//! Conversations at rest by themselves: so many actors, so many short turns
//! each, and the resident memory that they add to this process. No server and
//! no disk: the store forgets, so that what grows is what sessions hold.

mod stand_ins;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use futures::stream::{self, StreamExt, TryStreamExt};
use parlor_actors::{Limits, SupervisorHandle};
use parlor_schemas::{ChatflowId, SessionId, SessionKey};
use serde_json::json;
use uuid::Uuid;

use crate::machine::Machine;
use crate::usage::resident_bytes;
use stand_ins::{Forgetful, ShortTurn};

/// Sessions that run a turn at the same time.
const N_AT_ONCE: usize = 64;

/// What to measure.
#[derive(Debug, Parser)]
#[command(version, about = "What a conversation at rest takes in memory")]
pub struct Options {
    /// Conversations.
    #[arg(long, default_value_t = 100_000)]
    sessions: u128,
    /// Turns of each: a question of 40 bytes, an answer of 80.
    #[arg(long, default_value_t = 10)]
    turns: usize,
    /// Print JSON in one line.
    #[arg(long)]
    json: bool,
}

/// Measures and prints. Needs an actix `System`.
///
/// # Errors
/// A turn that fails or does not remember all before it; a session that went to sleep.
#[allow(clippy::print_stdout, reason = "figures are what this program is for")]
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let limits = Limits {
        idle_after: Duration::from_secs(24 * 60 * 60),
        max_live_sessions: usize::MAX,
        ..Limits::default()
    };
    let handle = SupervisorHandle::start(limits, Arc::new(Forgetful)).await;
    let chatflow = ChatflowId::random();
    let own = std::process::id();
    let before = resident_bytes(own)?;
    let mut after_turn = Vec::new();
    // Round by round, so that the turns of a session lie as far apart as in life.
    for n_before in 0..options.turns {
        stream::iter(0..options.sessions)
            .map(|number| ask(&handle, chatflow, number, n_before))
            .buffer_unordered(N_AT_ONCE)
            .try_collect::<()>()
            .await?;
        after_turn.push(resident_bytes(own)?.saturating_sub(before));
    }
    let n_live = handle.stats().live_sessions.load(Ordering::Relaxed);
    ensure!(n_live as u128 == options.sessions, "only {n_live} sessions are awake");
    let per_session = |bytes: &u64| *bytes / n_live.max(1) as u64;
    let page = json!({
        "sessions": n_live, "turns": options.turns,
        "resident_bytes_before": before,
        "sessions_bytes": after_turn.last(),
        "bytes_per_session_after_each_turn": after_turn.iter().map(per_session).collect::<Vec<_>>(),
        "machine": Machine::look(&std::env::current_dir()?).to_json(),
    });
    if options.json {
        println!("{page}");
    } else {
        println!("{page:#}");
    }
    handle.stop();
    Ok(())
}

async fn ask(
    handle: &SupervisorHandle,
    chatflow: ChatflowId,
    number: u128,
    n_before: usize,
) -> anyhow::Result<()> {
    let session = SessionId::parse(&Uuid::from_u128(number).to_string())?;
    let runner = ShortTurn { number, n_before };
    handle.run_turn(SessionKey { chatflow, session }, Box::new(runner))?.await?;
    Ok(())
}
