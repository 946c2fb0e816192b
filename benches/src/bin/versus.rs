//! `versus`: Parlor beside other servers in one command.

use std::process::ExitCode;

use clap::Parser;
use parlor_benches::program;
use parlor_benches::versus::{Options, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    program::measure("versus", run(&options), |results| {
        println!("{}", parlor_benches::versus::markdown::summary(results));
        true
    })
    .await
}
