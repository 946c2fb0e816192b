//! A model server that answers at once, in the wire format of OpenAI's chat completions.
//!
//! It must cost next to nothing, since it shares the machine with what is measured:
//! requests are looked at just far enough to tell what is asked, and the replies are
//! bytes made beforehand.

mod reply;
mod request;

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use self::reply::Replies;
use self::request::{Asked, asked, messages_of, next_request, questions_of};
use crate::http;

/// How the model server behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Wait before the first byte of an answer.
    pub delay: Duration,
    /// Wait between the tokens of a streamed answer.
    pub token_gap: Duration,
    /// Tokens in an answer.
    pub n_tokens: usize,
    /// Answer with the messages received, as JSON text, instead of the fixed answer.
    pub echo: bool,
    /// Answer with the contents of the person's messages, a blank between two.
    pub recite: bool,
}

/// What one model server counts, over all its threads. `GET /counts` shows it.
#[derive(Debug, Default)]
struct Counts {
    whole: AtomicU64,
    streamed: AtomicU64,
    refused: AtomicU64,
    /// Streams that their reader left before the end.
    left: AtomicU64,
}

/// The waits in milliseconds, over all threads: `POST /waits/DELAY/GAP` changes them, so
/// that a server under test need not be started again for a slower model.
#[derive(Debug, Default)]
struct Waits {
    delay: AtomicU64,
    token_gap: AtomicU64,
}

/// One thread's share of a model server.
#[derive(Clone)]
struct Server {
    behaviour: Behaviour,
    replies: Rc<Replies>,
    shared: Shared,
}

/// What all threads of a model server have together.
#[derive(Clone)]
struct Shared {
    counts: Arc<Counts>,
    waits: Arc<Waits>,
}

/// Serves on `listener` with `n_threads` threads until the process ends.
pub fn serve(listener: StdListener, behaviour: &Behaviour, n_threads: usize) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let waits = Waits::default();
    waits.set(behaviour.delay.as_millis() as u64, behaviour.token_gap.as_millis() as u64);
    let shared = Shared { counts: Arc::default(), waits: Arc::new(waits) };
    for _ in 1..n_threads {
        let (listener, behaviour, shared) =
            (listener.try_clone()?, behaviour.clone(), shared.clone());
        std::thread::spawn(move || serve_thread(listener, behaviour, shared));
    }
    serve_thread(listener, behaviour.clone(), shared)
}

fn serve_thread(listener: StdListener, behaviour: Behaviour, shared: Shared) -> anyhow::Result<()> {
    let replies = Rc::new(Replies::new(behaviour.n_tokens));
    let server = Server { behaviour, replies, shared };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, accept(listener, server))
}

async fn accept(listener: StdListener, server: Server) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: wait for some to come back.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let server = server.clone();
        tokio::task::spawn_local(async move {
            // A client that leaves ends its connection, which is no event here.
            let _ = server.connection(stream).await;
        });
    }
}

impl Waits {
    fn set(&self, delay_ms: u64, token_gap_ms: u64) {
        self.delay.store(delay_ms, Ordering::Relaxed);
        self.token_gap.store(token_gap_ms, Ordering::Relaxed);
    }
}

impl Server {
    async fn connection(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = BytesMut::with_capacity(4096);
        while let Some((head, body)) = next_request(&mut stream, &mut buffer).await? {
            let closes = http::closes(&head);
            self.answer(&mut stream, &head, &body).await?;
            if closes {
                break;
            }
        }
        Ok(())
    }

    async fn answer(&self, to: &mut TcpStream, head: &[u8], body: &[u8]) -> std::io::Result<()> {
        match asked(head, body) {
            Asked::Counts => to.write_all(&reply::json_reply("200 OK", &self.counts_json())).await,
            Asked::Waits(delay_ms, token_gap_ms) => {
                self.shared.waits.set(delay_ms, token_gap_ms);
                to.write_all(&reply::json_reply("200 OK", &json!({}))).await
            }
            Asked::Nonsense(status, why) => {
                self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
                to.write_all(&reply::error(status, why)).await
            }
            Asked::Whole => {
                self.wait().await;
                self.shared.counts.whole.fetch_add(1, Ordering::Relaxed);
                self.whole(to, body).await
            }
            Asked::Stream => {
                self.wait().await;
                self.shared.counts.streamed.fetch_add(1, Ordering::Relaxed);
                let sent = self.stream(to, body).await;
                self.shared.counts.left.fetch_add(sent.is_err().into(), Ordering::Relaxed);
                sent
            }
        }
    }

    async fn wait(&self) {
        let delay_ms = self.shared.waits.delay.load(Ordering::Relaxed);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
    }

    /// An answer that depends on the request.
    fn own_text(&self, body: &[u8]) -> Option<String> {
        match (self.behaviour.echo, self.behaviour.recite) {
            (true, _) => Some(messages_of(body)),
            (_, true) => Some(questions_of(body)),
            _ => None,
        }
    }

    async fn whole(&self, to: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
        if let Some(text) = self.own_text(body) {
            return to.write_all(&reply::completion(&text, 1)).await;
        }
        to.write_all(&self.replies.whole).await
    }

    async fn stream(&self, to: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
        if let Some(text) = self.own_text(body) {
            return to.write_all(&reply::streamed(&text)).await;
        }
        let gap_ms = self.shared.waits.token_gap.load(Ordering::Relaxed);
        if gap_ms == 0 {
            return to.write_all(&self.replies.stream_at_once).await;
        }
        to.write_all(&self.replies.stream_head).await?;
        to.write_all(&self.replies.stream_role).await?;
        // An interval, not a sleep for each token: the rate holds however late a tick is.
        let mut tick = tokio::time::interval(Duration::from_millis(gap_ms));
        for token in &self.replies.stream_tokens {
            tick.tick().await;
            to.write_all(token).await?;
        }
        to.write_all(&self.replies.stream_tail).await
    }

    fn counts_json(&self) -> Value {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "whole": read(&self.shared.counts.whole),
            "streamed": read(&self.shared.counts.streamed),
            "refused": read(&self.shared.counts.refused),
            "left": read(&self.shared.counts.left),
        })
    }
}
