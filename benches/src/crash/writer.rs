//! One client of the crash run: asks in its own conversations, one turn after
//! the other, and keeps what it was told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::chance::Chance;
use super::conversation::{Conversation, Fault};
use crate::client::{Connection, Failure};
use crate::stream::StreamReader;

/// Conversations that a client goes on with at a time.
const N_OPEN: usize = 8;

/// Turns of one conversation.
const MAX_TURNS: usize = 12;

/// A turn that takes longer is given up; its fate is unknown then.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pause after a failure, so that a server that is gone is not hammered.
const PAUSE: Duration = Duration::from_millis(5);

/// What the clients counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Turns answered with their text.
    pub n_acknowledged: u64,
    /// Turns answered with an error.
    pub n_refused: u64,
    /// Turns without an answer.
    pub n_unknown: u64,
}

/// What the clients of one round share.
#[derive(Debug, Default)]
pub struct Round {
    /// Whether the server was killed.
    pub stop: AtomicBool,
    /// Turns answered with their text since its start.
    pub n_acknowledged: AtomicU64,
}

/// One client.
#[derive(Debug)]
pub struct Writer {
    name: String,
    flow: String,
    chance: Chance,
    /// All its conversations; the last few go on.
    pub conversations: Vec<Conversation>,
    /// What it counted.
    pub counts: Counts,
    /// What was wrong with answers.
    pub faults: Vec<(String, Fault)>,
}

/// How a turn ended.
enum End {
    Answered(String),
    Refused,
    Unknown,
}

impl Writer {
    /// A client whose conversations begin with `name`.
    pub fn new(name: String, flow: String, chance: Chance) -> Self {
        let (conversations, faults) = (Vec::new(), Vec::new());
        Self { name, flow, chance, conversations, counts: Counts::default(), faults }
    }

    /// Asks until it is told to stop.
    pub async fn run(mut self, address: SocketAddr, round: Arc<Round>) -> Self {
        let mut connection = None;
        while !round.stop.load(Ordering::Relaxed) {
            let at = self.pick();
            let end = self.turn(at, address, &mut connection).await;
            if matches!(end, End::Unknown) {
                connection = None;
            }
            if !matches!(end, End::Answered(_)) {
                tokio::time::sleep(PAUSE).await;
            }
            if matches!(end, End::Answered(_)) {
                round.n_acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            self.note(at, end);
        }
        self
    }

    fn note(&mut self, at: usize, end: End) {
        let conversation = &mut self.conversations[at];
        match end {
            End::Answered(answer) => {
                self.counts.n_acknowledged += 1;
                let session = conversation.session.clone();
                let faults = conversation.acknowledged(answer);
                self.faults.extend(faults.into_iter().map(|fault| (session.clone(), fault)));
            }
            End::Refused => {
                self.counts.n_refused += 1;
                conversation.refused();
            }
            End::Unknown => {
                self.counts.n_unknown += 1;
                conversation.unknown();
            }
        }
    }

    /// One of the open conversations, or a new one.
    fn pick(&mut self) -> usize {
        let first = self.conversations.len().saturating_sub(N_OPEN);
        let at = first + self.chance.below(N_OPEN as u64) as usize;
        match self.conversations.get(at) {
            Some(conversation) if conversation.n_asked() < MAX_TURNS => at,
            _ => {
                let session = format!("{}-{}", self.name, self.conversations.len());
                self.conversations.push(Conversation::new(session));
                self.conversations.len() - 1
            }
        }
    }

    async fn turn(
        &mut self,
        at: usize,
        address: SocketAddr,
        connection: &mut Option<Connection>,
    ) -> End {
        let streams = self.chance.below(2) == 0;
        // Now and then a client leaves in the middle.
        let patience = match self.chance.below(50) {
            0 => Duration::from_micros(self.chance.below(3_000)),
            _ => PATIENCE,
        };
        let request = self.request(at, address, streams);
        if connection.as_ref().is_none_or(Connection::is_closing) {
            match Connection::open(address).await {
                Ok(open) => *connection = Some(open),
                // Nothing was sent.
                Err(_) => return End::Refused,
            }
        }
        let Some(open) = connection else { return End::Refused };
        match timeout(patience, exchange(open, &request, streams)).await {
            Ok(Ok(end)) => end,
            Ok(Err(_)) | Err(_) => End::Unknown,
        }
    }
}

impl Writer {
    /// The next turn of a conversation, as it goes over the wire.
    fn request(&self, at: usize, address: SocketAddr, streams: bool) -> Vec<u8> {
        let (flow, conversation) = (&self.flow, &self.conversations[at]);
        let body = json!({
            "question": conversation.next_question(),
            "streaming": streams,
            "overrideConfig": {"sessionId": conversation.session},
        });
        let body = body.to_string();
        let length = body.len();
        format!(
            "POST /api/v1/prediction/{flow} HTTP/1.1\r\nhost: {address}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

async fn exchange(
    connection: &mut Connection,
    request: &[u8],
    streams: bool,
) -> Result<End, Failure> {
    if streams {
        let mut reader = StreamReader::default();
        let status = connection.exchange(request, &mut reader).await?;
        return Ok(match status {
            200 if reader.is_whole() => End::Answered(reader.text),
            200 if reader.fault.is_none() => End::Unknown,
            _ => End::Refused,
        });
    }
    let mut body = Vec::new();
    let status = connection.exchange(request, &mut body).await?;
    let text = serde_json::from_slice::<Value>(&body).ok();
    let text = text.and_then(|body| Some(body["text"].as_str()?.to_owned()));
    Ok(match text {
        Some(text) if status == 200 => End::Answered(text),
        _ => End::Refused,
    })
}
