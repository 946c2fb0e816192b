//! Portkey's gateway: stateless, so each request brings the system prompt itself, and
//! headers that say where the model is.
//!
//! With the newest versions of two of its dependencies it answers every stream with 500
//! on Node 20, so `package.json` takes older ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::install::{bare, npm_version, once, step};
use super::{Door, Rival, Seat, completions};

const PACKAGE: &str = include_str!("../../../versus/portkey/package.json");

/// npm `@portkey-ai/gateway`.
#[derive(Debug)]
pub struct Portkey;

impl Rival for Portkey {
    fn name(&self) -> &'static str {
        "portkey"
    }

    fn title(&self) -> &'static str {
        "Portkey gateway"
    }

    fn is_stateless(&self) -> bool {
        true
    }

    fn setting(&self, _workers: u32) -> String {
        "one process: it has no setting for more".into()
    }

    fn install(&self, cache: &Path) -> anyhow::Result<()> {
        once(cache, PACKAGE, || {
            fs::write(cache.join("package.json"), PACKAGE).context("package.json")?;
            step(cache, "npm", &["install", "--ignore-scripts", "--no-audit", "--no-fund"])
        })
    }

    fn version(&self, cache: &Path) -> String {
        npm_version(cache, "@portkey-ai/gateway")
    }

    fn command(&self, seat: &Seat<'_>) -> anyhow::Result<Command> {
        let mut command = bare("node", seat.data);
        command
            .arg(seat.cache.join("node_modules/@portkey-ai/gateway/build/start-server.js"))
            .args([&format!("--port={}", seat.port), "--headless"])
            .env("NODE_ENV", "production");
        Ok(command)
    }

    fn door(&self, seat: &Seat<'_>) -> Door {
        completions(&[
            ("x-portkey-provider", "openai".into()),
            ("x-portkey-custom-host", format!("{}/v1", seat.upstream)),
            ("authorization", "Bearer sk-bench".into()),
        ])
    }
}
