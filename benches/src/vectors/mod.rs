//! The embedded vector index by itself: exact and hybrid searches, those by its
//! graph with what they miss, and what ten megabytes of text take. No server
//! and no disk: these are the costs that each question adds to its turn.

mod corpus;
mod measure;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Parser;
use serde_json::json;

use crate::machine::Machine;
use corpus::Corpus;

/// What to measure.
#[derive(Debug, Parser)]
#[command(version, about = "What a search in the embedded vector index costs")]
pub struct Options {
    /// A folder that benches/vectors/embed.py wrote; made-up vectors otherwise.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Rows of made-up vectors, or rows of the folder at most.
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// Hits of a search.
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// Megabytes of text that are cut and indexed; 0 leaves that out.
    #[arg(long, default_value_t = 10)]
    text_mb: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write the rows found by the exact search here, `k` little-endian u32 a question.
    #[arg(long)]
    found: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// Files that cannot be read or contradict each other.
#[allow(clippy::print_stdout, reason = "figures are what this program is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.k > 0 && options.rows > 0, "--k and --rows must be at least 1");
    let text = (options.text_mb > 0).then(|| measure::text(options.text_mb)).transpose()?;
    let corpus = match &options.folder {
        Some(folder) => Corpus::read(folder, options.rows)?,
        None => Corpus::made_up(options.rows),
    };
    let searches = measure::searches(&corpus, options.k, options.found.as_deref())?;
    let machine = Machine::look(&std::env::current_dir()?).to_json();
    let page = json!({
        "rows": corpus.n_rows(), "dimensions": corpus.n_dimensions, "k": options.k,
        "embeddings": if options.folder.is_some() { "real" } else { "made up" },
        "searches": searches, "text": text, "machine": machine,
    });
    if options.json {
        println!("{page}");
    } else {
        println!("{page:#}");
    }
    Ok(())
}
