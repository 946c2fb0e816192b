//! What a run found.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::ledger::Comparison;
use crate::machine::Machine;

/// Everything, as far as it was measured.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Where.
    pub machine: Machine,
    /// The floor at each number of connections.
    pub floor: Vec<Stage>,
    /// The floor at a fixed rate.
    pub floor_paced: Stage,
    /// Parlor, unless only the floor was measured.
    pub parlor: Option<ParlorFindings>,
}

/// What was found of Parlor.
#[derive(Clone, Debug)]
pub struct ParlorFindings {
    /// What it says of its version.
    pub version: Value,
    /// From the start of the process to listening, on an empty folder.
    pub start_empty: Duration,
    /// Resident memory a second after the start, in bytes.
    pub idle_bytes: u64,
    /// Resident memory after all stages, in bytes.
    pub loaded_bytes: u64,
    /// What idle sessions take.
    pub sessions: SessionMemory,
    /// The stages.
    pub loads: Loads,
    /// What was still there afterwards.
    pub kept: Kept,
}

/// The stages with Parlor.
#[derive(Clone, Debug)]
pub struct Loads {
    /// A new session for each turn, at each number of connections.
    pub fresh: Vec<Stage>,
    /// The same at a fixed rate.
    pub paced: Stage,
    /// Conversations that go on.
    pub rotating: Stage,
    /// Streamed turns.
    pub streamed: Stage,
}

/// The store against the answers.
#[derive(Clone, Debug)]
pub struct Kept {
    /// While the server runs.
    pub stored: Comparison,
    /// After `kill -9` and a new start.
    pub survived: Comparison,
    /// That start, to listening, with the history of all stages.
    pub start_with_history: Duration,
}

/// Resident memory before and after many sessions had one turn each.
#[derive(Clone, Copy, Debug)]
pub struct SessionMemory {
    /// Sessions in between.
    pub n_sessions: u64,
    /// Bytes before.
    pub before_bytes: u64,
    /// Bytes after.
    pub after_bytes: u64,
}

impl SessionMemory {
    /// Bytes for one session: the actor, its bounded memory, and the store's cache.
    pub fn bytes_each(&self) -> f64 {
        (self.after_bytes as f64 - self.before_bytes as f64) / self.n_sessions.max(1) as f64
    }
}

impl Findings {
    /// Whatever makes these figures worthless, or the server wrong.
    pub fn faults(&self) -> Vec<String> {
        let named = |name: &str, stage: &Stage| {
            let n = stage.n_connections;
            stage.fault().map(|fault| format!("{name}, {n} connections: {fault}"))
        };
        let floor = self.floor.iter().chain([&self.floor_paced]);
        let mut faults: Vec<_> = floor.filter_map(|stage| named("floor", stage)).collect();
        if let Some(parlor) = &self.parlor {
            faults.extend(parlor.loads.all().filter_map(|stage| named("parlor", stage)));
            let Kept { stored, survived, .. } = &parlor.kept;
            faults.extend(stored.differences.iter().map(|d| format!("stored: {d}")));
            faults.extend(survived.differences.iter().map(|d| format!("after kill -9: {d}")));
        }
        faults
    }

    /// The part of the machine that other programs took, in the stage where it was most.
    pub fn disturbance(&self) -> f64 {
        let parlor = self.parlor.iter().flat_map(|parlor| parlor.loads.all());
        let stages = self.floor.iter().chain([&self.floor_paced]).chain(parlor);
        stages.map(|stage| stage.other_share(self.machine.n_cores)).fold(0.0, f64::max)
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "machine": self.machine.to_json(),
            "disturbance": self.disturbance(),
            "floor": stages(&self.floor),
            "floor_paced": self.floor_paced.to_json(),
            "parlor": self.parlor.as_ref().map(ParlorFindings::to_json),
            "faults": self.faults(),
        })
    }
}

impl Loads {
    fn all(&self) -> impl Iterator<Item = &Stage> {
        self.fresh.iter().chain([&self.paced, &self.rotating, &self.streamed])
    }
}

impl ParlorFindings {
    fn to_json(&self) -> Value {
        let Self { sessions, loads, kept, .. } = self;
        json!({
            "version": self.version,
            "start_ms": {
                "empty": millis(self.start_empty),
                "with_history": millis(kept.start_with_history),
            },
            "resident_bytes": {"idle": self.idle_bytes, "loaded": self.loaded_bytes},
            "idle_sessions": {
                "sessions": sessions.n_sessions,
                "before_bytes": sessions.before_bytes,
                "after_bytes": sessions.after_bytes,
                "bytes_each": sessions.bytes_each(),
            },
            "fresh": stages(&loads.fresh),
            "paced": loads.paced.to_json(),
            "rotating": loads.rotating.to_json(),
            "streamed": loads.streamed.to_json(),
            "stored": kept.stored.to_json(),
            "survived_kill": kept.survived.to_json(),
        })
    }
}

fn stages(stages: &[Stage]) -> Vec<Value> {
    stages.iter().map(Stage::to_json).collect()
}

/// Milliseconds with their fraction.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
