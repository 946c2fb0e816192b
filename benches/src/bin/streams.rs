//! `streams`: many concurrent streams in one command.

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use parlor_benches::streams::{Options, run};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match measured(&Options::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("streams: {error:#}");
            ExitCode::FAILURE
        }
    }
}

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
        print!("{findings}");
    }
    let is_clean = findings.faults().is_empty();
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
