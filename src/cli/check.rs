//! `parlor check`: can these flows run here?
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::path::PathBuf;

use clap::Args;
use parlor_nodes::inputs::Secrets;
use parlor_schemas::flow_file::FlowData;

use crate::flow::{file, plan};

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Exported files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<u8> {
    let mut all_good = true;
    for path in &args.files {
        let problems = match std::fs::read_to_string(path) {
            Ok(text) => check(&text),
            Err(error) => vec![format!("cannot be read: {error}")],
        };
        all_good &= problems.is_empty();
        if problems.is_empty() {
            println!("{}: can run", path.display());
        }
        for problem in problems {
            println!("{}: {problem}", path.display());
        }
    }
    Ok(u8::from(!all_good))
}

/// What stops the flows of a file from running, each in one line.
fn check(text: &str) -> Vec<String> {
    let flows = match file::find_flows(text) {
        Ok(flows) => flows,
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = Vec::new();
    for found in flows {
        match file::parse_flow(&found.flow_data) {
            Ok(flow) => problems.extend(check_flow(&flow)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    problems
}

/// Secrets are not checked: they belong to the server, not to the file.
fn check_flow(flow: &FlowData) -> Vec<String> {
    let any_secret = |_: &_, spec: &parlor_nodes::NodeSpec| {
        let fields = spec.credential?.fields.iter();
        let fields = fields.map(|(field, _)| ((*field).to_owned(), "unchecked".into())).collect();
        Some(Ok(Secrets { fields, from_environment: false }))
    };
    match plan::compile(flow, &any_secret) {
        Err(error) => vec![error.to_string()],
        Ok(plan) => plan
            .nodes
            .iter()
            .filter_map(|node| node.fixed.as_ref()?.as_ref().err().map(ToString::to_string))
            .collect(),
    }
}
