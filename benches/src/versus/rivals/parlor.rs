//! Parlor: durable turns, remembered sessions.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Door, OPERATOR_NAME, Rival, Seat};
use crate::turns::programs::Programs;

/// The server of this repository.
#[derive(Debug)]
pub struct Parlor {
    program: PathBuf,
    args: Vec<String>,
}

impl Parlor {
    /// As the programs of this run name it.
    pub fn new(programs: &Programs) -> Self {
        let (program, args) = programs.parlor();
        Self { program: program.to_owned(), args: args.to_vec() }
    }
}

impl Rival for Parlor {
    fn name(&self) -> &'static str {
        "parlor"
    }

    fn title(&self) -> &'static str {
        "Parlor"
    }

    fn setting(&self, workers: u32) -> String {
        format!("--threads {workers}: so many threads for HTTP and as many for sessions")
    }

    fn version(&self, _cache: &Path) -> String {
        let output = Command::new(&self.program).arg("--version").output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let said = said.unwrap_or_else(|_| "unknown".into());
        said.strip_prefix("parlor ").unwrap_or(&said).to_owned()
    }

    fn command(&self, seat: &Seat<'_>) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .args(["serve", "--host", "127.0.0.1", "--no-example"])
            .args(["--port", &seat.port.to_string(), "--threads", &seat.workers.to_string()])
            .args(["--provider-url", &format!("openai={}/v1", seat.upstream)])
            .arg("--data-dir")
            .arg(seat.data)
            .args(&self.args)
            .env("FLOWISE_USERNAME", OPERATOR_NAME)
            .env("FLOWISE_PASSWORD", seat.password);
        Ok(command)
    }

    fn door(&self, _seat: &Seat<'_>) -> Door {
        Door::Flow
    }
}
