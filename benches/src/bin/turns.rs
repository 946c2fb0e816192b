//! `turns`: the whole measurement in one command.

use std::process::ExitCode;

use clap::Parser;
use parlor_benches::program;
use parlor_benches::turns::options::Options;
use parlor_benches::turns::run::run;
use parlor_benches::turns::table::Table;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    program::measure("turns", run(&options), |findings| {
        if options.json {
            println!("{:#}", findings.to_json());
        } else {
            print!("{}", Table(findings));
        }
        findings.faults().is_empty()
    })
    .await
}
