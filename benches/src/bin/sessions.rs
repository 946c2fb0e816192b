//! `sessions`: what a conversation at rest takes in memory.

use clap::Parser;
use mimalloc::MiMalloc;
use parlor_benches::sessions::{Options, run};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> anyhow::Result<()> {
    actix::System::new().block_on(run(&Options::parse()))
}
