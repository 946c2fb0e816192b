//! `upstream`: a model server that answers at once, for measuring what stands before it.

use std::net::TcpListener;
use std::time::Duration;

use clap::Parser;
use parlor_benches::answer;
use parlor_benches::upstream::{Behaviour, serve};

/// A model server that speaks OpenAI's chat completions and answers at once.
///
/// `GET /counts` tells how many answers it gave.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Port on 127.0.0.1; 0 takes a free one and prints it.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Milliseconds to wait before the first byte of an answer.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Tokens in an answer.
    #[arg(long, default_value_t = answer::DEFAULT_TOKENS)]
    tokens: usize,
    /// Milliseconds between the tokens of a streamed answer.
    #[arg(long, default_value_t = 0)]
    token_gap_ms: u64,
    /// Answer with the messages received, as JSON text.
    #[arg(long)]
    echo: bool,
    /// Answer with what the person said in the messages received.
    #[arg(long, conflicts_with = "echo")]
    recite: bool,
    /// Threads; one is enough for any server that fits the same small machine.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(("127.0.0.1", options.port))?;
    println!("upstream listens on http://{}", listener.local_addr()?);
    let behaviour = Behaviour {
        delay: Duration::from_millis(options.delay_ms),
        token_gap: Duration::from_millis(options.token_gap_ms),
        n_tokens: options.tokens,
        echo: options.echo,
        recite: options.recite,
    };
    serve(listener, &behaviour, options.threads.max(1))
}
