//! `vectors`: what a search in the embedded vector index costs.

use clap::Parser;
use mimalloc::MiMalloc;
use parlor_benches::vectors::{Options, run};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> anyhow::Result<()> {
    run(&Options::parse())
}
