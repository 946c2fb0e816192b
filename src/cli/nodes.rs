//! `parlor nodes`: what is supported.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use clap::Args;
use parlor_nodes::registry;
use serde_json::json;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct NodesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &NodesArgs) -> anyhow::Result<u8> {
    if args.json {
        let rows: Vec<_> = registry::all()
            .map(|spec| json!({"name": spec.name, "category": spec.category, "about": spec.about}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(0);
    }
    let width = registry::all().map(|spec| spec.name.len()).max().unwrap_or_default() + 2;
    let mut category = "";
    for spec in registry::all() {
        if spec.category != category {
            category = spec.category;
            println!("{category}");
        }
        println!("  {:<width$}{}", spec.name, spec.about);
    }
    Ok(0)
}
