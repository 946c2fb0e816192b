//! The programs that take part: found beside this one, built if cargo is at hand,
//! started with nothing of the caller's environment that could change the figures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::options::ProgramOptions;
use crate::load::plan::fresh_prefix;
use crate::service::Service;

/// The name under which the run signs in as operator.
const OPERATOR_NAME: &str = "bench";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    upstream: PathBuf,
    floor: PathBuf,
    parlor: PathBuf,
    parlor_args: Vec<String>,
    password: String,
}

impl Programs {
    /// Builds what cargo can build, then finds the rest or says how to get it.
    pub fn find(options: &ProgramOptions, needs_parlor: bool) -> anyhow::Result<Self> {
        let here = folder()?;
        if !options.no_build {
            build(options.parlor.is_none() && needs_parlor)?;
        }
        let beside = |name: &str| here.join(name);
        let parlor = options.parlor.clone().unwrap_or_else(|| beside("parlor"));
        if needs_parlor {
            must_exist(&parlor, "cargo build --release")?;
        }
        let (upstream, floor) = (beside("upstream"), beside("floor"));
        must_exist(&upstream, "cargo build --release -p parlor-benches")?;
        must_exist(&floor, "cargo build --release -p parlor-benches")?;
        // Not a secret worth keeping: the server lives on loopback for a few minutes.
        let (parlor_args, password) = (options.parlor_arg.clone(), fresh_prefix());
        Ok(Self { upstream, floor, parlor, parlor_args, password })
    }

    /// The operator's name and password, as Basic auth joins them.
    pub fn operator(&self) -> String {
        format!("{OPERATOR_NAME}:{}", self.password)
    }

    /// The server to measure, and more arguments for its `serve`.
    pub fn parlor(&self) -> (&Path, &[String]) {
        (&self.parlor, &self.parlor_args)
    }

    /// The bare proxied call.
    pub fn floor(&self) -> &Path {
        &self.floor
    }

    /// Starts the model server with these arguments.
    pub fn start_upstream(&self, args: &[String], logs: &Path) -> anyhow::Result<Service> {
        Service::start("upstream", bare(&self.upstream).args(args), logs)
    }

    /// Starts the floor before a model server.
    pub fn start_floor(&self, upstream: &Service, logs: &Path) -> anyhow::Result<Service> {
        Service::start("floor", bare(&self.floor).args(["--upstream", &upstream.url()]), logs)
    }

    /// Starts Parlor before a model server, on a folder that may have a history.
    pub fn start_parlor(
        &self,
        upstream: &Service,
        data: &Path,
        logs: &Path,
    ) -> anyhow::Result<Service> {
        let mut command = bare(&self.parlor);
        command
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--no-example"])
            .args(["--provider-url", &format!("openai={}/v1", upstream.url())])
            .arg("--data-dir")
            .arg(data)
            .args(&self.parlor_args)
            .env("FLOWISE_USERNAME", OPERATOR_NAME)
            .env("FLOWISE_PASSWORD", &self.password);
        Service::start("parlor", &mut command, logs)
    }
}

/// The folder of this program, which is cargo's for one kind of build.
pub fn folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    own.parent().map(Path::to_path_buf).context("this program is in no folder")
}

/// Brings the programs up to date: a stale server would be measured for the new one. The
/// server is built by itself, with the features that it is shipped with.
fn build(with_parlor: bool) -> anyhow::Result<()> {
    // Set by `cargo run`; somebody who starts the program by hand has built it by hand.
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    ensure!(!cfg!(debug_assertions), "figures of a debug build mean nothing: add --release");
    let mut builds = vec![["-p", "parlor-benches"]];
    if with_parlor {
        builds.push(["-p", "parlor"]);
    }
    for package in builds {
        let mut command = Command::new(&cargo);
        command.args(["build", "--release", "--quiet", "--bins"]).args(package);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::null());
        let status = command.status().context("starting cargo")?;
        ensure!(status.success(), "cargo build --release {} failed", package.join(" "));
    }
    Ok(())
}

fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

fn must_exist(program: &Path, made_by: &str) -> anyhow::Result<()> {
    if !program.is_file() {
        bail!("{} is missing; `{made_by}` makes it", program.display());
    }
    Ok(())
}
