//! `crash`: the server killed again and again, in one command.

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use parlor_benches::crash::{Options, run};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match measured(&Options::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("crash: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until done or told to stop; either way the server is ended.
async fn measured(options: &Options) -> anyhow::Result<ExitCode> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let findings = tokio::select! {
        findings = run(options, |line| eprintln!("{line}")) => findings?,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
    };
    if options.json {
        println!("{:#}", findings.to_json());
    } else {
        print!("{findings}");
    }
    Ok(if findings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
