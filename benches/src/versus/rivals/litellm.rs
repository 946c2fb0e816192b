//! LiteLLM's proxy: stateless, so each request brings the system prompt itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::install::{bare, once, pip_version, step};
use super::{Door, Rival, Seat, completions};

const REQUIREMENTS: &str = include_str!("../../../versus/litellm/requirements.txt");
const CONFIG: &str = include_str!("../../../versus/litellm/config.yaml");

/// PyPI `litellm[proxy]`.
#[derive(Debug)]
pub struct LiteLlm;

impl Rival for LiteLlm {
    fn name(&self) -> &'static str {
        "litellm"
    }

    fn title(&self) -> &'static str {
        "LiteLLM proxy"
    }

    fn is_stateless(&self) -> bool {
        true
    }

    fn setting(&self, workers: u32) -> String {
        format!("--num_workers {workers}; no database, no key, no cache")
    }

    fn install(&self, cache: &Path) -> anyhow::Result<()> {
        once(cache, REQUIREMENTS, || {
            step(cache, "python3", &["-m", "venv", "."])?;
            fs::write(cache.join("requirements.txt"), REQUIREMENTS).context("requirements.txt")?;
            step(cache, cache.join("bin/pip"), &["install", "-q", "-r", "requirements.txt"])
        })
    }

    fn version(&self, cache: &Path) -> String {
        pip_version(cache, "litellm")
    }

    fn command(&self, seat: &Seat<'_>) -> anyhow::Result<Command> {
        let config = seat.data.join("config.yaml");
        fs::write(&config, CONFIG.replace("{upstream}", seat.upstream)).context("config.yaml")?;
        let mut command = bare(seat.cache.join("bin/litellm"), seat.data);
        command.arg("--config").arg(config).args(["--host", "127.0.0.1"]);
        command.args(["--port", &seat.port.to_string(), "--telemetry", "False"]);
        command.args(["--num_workers", &seat.workers.to_string()]);
        command
            // Parlor and Flowise ask for no key here either; it would not start without one.
            .env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true")
            // Its table of prices, which it would fetch from the internet.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        Ok(command)
    }

    fn door(&self, _seat: &Seat<'_>) -> Door {
        completions(&[])
    }
}
