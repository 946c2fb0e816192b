//! The floor: actix-web and reqwest passing one call through, with no work in between.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Door, Rival, Seat};
use crate::turns::programs::Programs;

/// The least that a server with these parts can cost.
#[derive(Debug)]
pub struct Floor {
    program: PathBuf,
}

impl Floor {
    /// As the programs of this run name it.
    pub fn new(programs: &Programs) -> Self {
        Self { program: programs.floor().to_owned() }
    }
}

impl Rival for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn title(&self) -> &'static str {
        "floor: bare proxy"
    }

    fn is_stateless(&self) -> bool {
        true
    }

    /// It hands on whole answers only.
    fn streams(&self) -> bool {
        false
    }

    fn setting(&self, workers: u32) -> String {
        format!("--workers {workers}")
    }

    fn version(&self, _cache: &Path) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn command(&self, seat: &Seat<'_>) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .args(["--port", &seat.port.to_string(), "--upstream", seat.upstream])
            .args(["--workers", &seat.workers.to_string()]);
        Ok(command)
    }

    fn door(&self, _seat: &Seat<'_>) -> Door {
        Door::Path("/")
    }
}
