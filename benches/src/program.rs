//! What the measuring programs do alike: run until done or told to stop.

use std::process::ExitCode;

use anyhow::bail;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a measurement and shows what it found; `show` says whether all was
/// right. The processes that it started are ended either way, because dropping
/// the run ends them.
pub async fn measure<T>(
    name: &str,
    run: impl Future<Output = anyhow::Result<T>>,
    show: impl FnOnce(&T) -> bool,
) -> ExitCode {
    match until_told(run).await {
        Ok(findings) if show(&findings) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn until_told<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        findings = run => findings,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
    }
}
