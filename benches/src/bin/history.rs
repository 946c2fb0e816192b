//! `history`: a long history in one command.

use std::process::ExitCode;

use clap::Parser;
use parlor_benches::history::{Options, run};
use parlor_benches::program;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    program::measure("history", run(&options), |findings| {
        if options.json {
            println!("{:#}", findings.to_json());
        } else {
            print!("{findings}");
        }
        findings.faults().is_empty()
    })
    .await
}
