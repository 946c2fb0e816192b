//! `crash`: the server killed again and again, in one command.

use std::process::ExitCode;

use clap::Parser;
use parlor_benches::crash::{Options, run};
use parlor_benches::program;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    program::measure("crash", run(&options, |line| eprintln!("{line}")), |findings| {
        if options.json {
            println!("{:#}", findings.to_json());
        } else {
            print!("{findings}");
        }
        findings.is_clean()
    })
    .await
}
