//! `soak`: a long load in one command.

use std::process::ExitCode;

use clap::Parser;
use parlor_benches::program;
use parlor_benches::soak::{Options, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    program::measure("soak", run(&options), |findings| {
        if options.json {
            println!("{:#}", findings.to_json());
        } else {
            print!("{findings}");
        }
        findings.faults().is_empty()
    })
    .await
}
