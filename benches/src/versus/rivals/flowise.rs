//! Flowise 2.2.8 with SQLite, the release whose interface Parlor serves.
//!
//! A plain install of it does not start any more, so `package.json` brings the versions of
//! its days back. `tokenizer.cjs` answers the one fetch that it makes for each chat.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::install::{bare, npm_version, once, step};
use super::{Door, OPERATOR_NAME, Rival, Seat};

const PACKAGE: &str = include_str!("../../../versus/flowise/package.json");
const TOKENIZER: &str = include_str!("../../../versus/flowise/tokenizer.cjs");

/// npm `flowise`.
#[derive(Debug)]
pub struct Flowise;

impl Rival for Flowise {
    fn name(&self) -> &'static str {
        "flowise"
    }

    fn title(&self) -> &'static str {
        "Flowise"
    }

    fn setting(&self, _workers: u32) -> String {
        "one process: more need its queue mode with Redis".into()
    }

    fn install(&self, cache: &Path) -> anyhow::Result<()> {
        once(cache, PACKAGE, || {
            fs::write(cache.join("package.json"), PACKAGE).context("package.json")?;
            let quiet = ["--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"];
            step(cache, "npm", &[&["install"][..], &quiet].concat())?;
            // The only native module that it needs; takes a C++ compiler.
            step(cache, "npm", &["rebuild", "sqlite3", "--build-from-source"])
        })
    }

    fn version(&self, cache: &Path) -> String {
        npm_version(cache, "flowise")
    }

    fn command(&self, seat: &Seat<'_>) -> anyhow::Result<Command> {
        let tokenizer = seat.data.join("tokenizer.cjs");
        fs::write(&tokenizer, TOKENIZER).context("tokenizer.cjs")?;
        let mut command = bare("node", seat.data);
        command.arg("--require").arg(tokenizer);
        command.args(["node_modules/flowise/bin/run", "start"]).current_dir(seat.cache);
        command.env("PORT", seat.port.to_string()).env("HOST", "127.0.0.1");
        for folder in ["DATABASE_PATH", "APIKEY_PATH", "SECRETKEY_PATH"] {
            command.env(folder, seat.data);
        }
        command
            .env("LOG_PATH", seat.data.join("logs"))
            .env("BLOB_STORAGE_PATH", seat.data.join("storage"))
            .env("DISABLE_FLOWISE_TELEMETRY", "true")
            .env("NODE_ENV", "production")
            .env("FLOWISE_USERNAME", OPERATOR_NAME)
            .env("FLOWISE_PASSWORD", seat.password)
            .env("VERSUS_FLOWISE_DIR", seat.cache);
        Ok(command)
    }

    fn door(&self, _seat: &Seat<'_>) -> Door {
        Door::Flow
    }
}
