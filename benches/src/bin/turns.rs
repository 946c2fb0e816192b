//! `turns`: the whole measurement in one command.

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use parlor_benches::turns::options::Options;
use parlor_benches::turns::run::run;
use parlor_benches::turns::table::Table;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match measured(&Options::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("turns: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until done or told to stop; either way the processes it started are ended,
/// because dropping the run ends them.
async fn measured(options: &Options) -> anyhow::Result<ExitCode> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let findings = tokio::select! {
        findings = run(options) => findings?,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
    };
    if options.json {
        println!("{:#}", findings.to_json());
    } else {
        print!("{}", Table(&findings));
    }
    let is_clean = findings.faults().is_empty();
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
