//! Langflow with SQLite: its starter "Basic Prompting" with the measured system prompt. It
//! stores question and answer of each session, but that flow does not read them back.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::install::{bare, once, pip_version, step};
use super::{Door, Rival, Seat};
use crate::load::Shape;

const REQUIREMENTS: &str = include_str!("../../../versus/langflow/requirements.txt");
const FLOW: &str = include_str!("../../../versus/langflow/flow.py");

/// PyPI `langflow`.
#[derive(Debug)]
pub struct Langflow;

impl Rival for Langflow {
    fn name(&self) -> &'static str {
        "langflow"
    }

    fn title(&self) -> &'static str {
        "Langflow"
    }

    /// It streams in a format of its own.
    fn streams(&self) -> bool {
        false
    }

    fn setting(&self, workers: u32) -> String {
        format!("--workers {workers} --backend-only; SQLite, no sign-in, no egress guard")
    }

    /// pip looks for versions that fit together for more than 25 minutes; uv finds them.
    fn install(&self, cache: &Path) -> anyhow::Result<()> {
        once(cache, REQUIREMENTS, || {
            step(cache, "python3", &["-m", "venv", "."])?;
            fs::write(cache.join("requirements.txt"), REQUIREMENTS).context("requirements.txt")?;
            step(cache, cache.join("bin/pip"), &["install", "-q", "uv"])?;
            let install = ["pip", "install", "-q", "--python", "bin/python"];
            step(cache, cache.join("bin/uv"), &[&install[..], &["-r", "requirements.txt"]].concat())
        })
    }

    fn version(&self, cache: &Path) -> String {
        pip_version(cache, "langflow")
    }

    fn command(&self, seat: &Seat<'_>) -> anyhow::Result<Command> {
        let database = format!("sqlite:///{}", seat.data.join("langflow.db").display());
        let mut command = bare(seat.cache.join("bin/langflow"), seat.data);
        command.args(["run", "--host", "127.0.0.1", "--backend-only"]);
        command.args(["--port", &seat.port.to_string(), "--workers", &seat.workers.to_string()]);
        command
            .env("OPENAI_API_KEY", "sk-bench")
            // OPENAI_BASE_URL would not do: in a container it takes loopback for the host.
            .env("OPENAI_API_BASE", format!("{}/v1", seat.upstream))
            .env("LANGFLOW_CONFIG_DIR", seat.data)
            .env("LANGFLOW_DATABASE_URL", database)
            .env("LANGFLOW_AUTO_LOGIN", "true")
            .env("LANGFLOW_SKIP_AUTH_AUTO_LOGIN", "true")
            // Its guard would refuse a model server on loopback.
            .env("LANGFLOW_SSRF_PROTECTION_ENABLED", "false")
            .env("LANGFLOW_LOG_LEVEL", "error")
            .env("DO_NOT_TRACK", "true");
        Ok(command)
    }

    fn door(&self, seat: &Seat<'_>) -> Door {
        let python = seat.cache.join("bin/python");
        let (home, url) = (seat.data.to_owned(), format!("http://127.0.0.1:{}", seat.port));
        Door::Made(Box::new(move || {
            let output = bare(&python, &home).args(["-c", FLOW, &url]).output();
            let output = output.context("starting flow.py")?;
            let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            ensure!(!id.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(request(&id))
        }))
    }
}

fn request(flow: &str) -> Shape {
    Shape {
        path: format!("/api/v1/run/{flow}?stream=false"),
        headers: Vec::new(),
        body: r#"{"input_value":{question},"input_type":"chat","output_type":"chat","session_id":"{session}"}"#
            .into(),
    }
}
