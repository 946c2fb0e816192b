//! The `parlor` program.
#![allow(clippy::print_stderr, reason = "errors of the command line go to standard error")]

use std::process::ExitCode;

use parlor::cli::Cli;

// glibc keeps the memory of sessions that are gone; mimalloc gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match parlor::cli::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The chain of causes in one line: what failed, then why.
            eprintln!("parlor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
