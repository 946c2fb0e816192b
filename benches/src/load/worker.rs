//! One connection: takes a slot, sends, reads, judges, counts.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::pace::{Pace, Slot};
use super::plan::{Plan, Target};
use super::request::RequestMaker;
use super::tally::{Outcome, Tally};
use crate::client::{Connection, Failure};
use crate::stream::StreamReader;

/// A pause after a failure, so that a server that is gone is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

pub(super) struct Worker {
    plan: Rc<Plan>,
    pace: Rc<Pace>,
    tally: Rc<RefCell<Tally>>,
    maker: RequestMaker,
    connection: Option<Connection>,
    request: Vec<u8>,
    body: Vec<u8>,
    stream: StreamReader,
}

impl Worker {
    pub(super) fn new(
        plan: Rc<Plan>,
        pace: Rc<Pace>,
        tally: Rc<RefCell<Tally>>,
        connection: Connection,
    ) -> Self {
        let maker = RequestMaker::new(&plan);
        let (request, body, stream) = (Vec::new(), Vec::new(), StreamReader::default());
        Self { plan, pace, tally, maker, connection: Some(connection), request, body, stream }
    }

    pub(super) async fn run(mut self) {
        while let Some(slot) = self.pace.next().await {
            let sent = Instant::now();
            let outcome = self.turn(slot).await;
            let took = slot.due.elapsed();
            let failed = matches!(outcome, Outcome::Failed(_));
            self.tally.borrow_mut().count(slot, sent, took, outcome, self.plan.keeps_ledger);
            if failed {
                self.connection = None;
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    async fn turn(&mut self, slot: Slot) -> Outcome {
        let session = self.plan.session(slot.number);
        self.maker.write(&session, &mut self.request);
        let limit = self.plan.timeout;
        let reply = timeout(limit, self.exchange()).await.unwrap_or(Err(Failure::TimedOut));
        match reply {
            Err(failure) => Outcome::Failed(failure),
            Ok(200) if self.plan.stream => self.judge_stream(&session, slot),
            Ok(200) => self.judge_body(&session),
            Ok(status) => Outcome::Refused(status),
        }
    }

    async fn exchange(&mut self) -> Result<u16, Failure> {
        let connection = reopened(&mut self.connection, self.plan.address).await?;
        if self.plan.stream {
            self.stream.reset();
            return connection.exchange(&self.request, &mut self.stream).await;
        }
        self.body.clear();
        connection.exchange(&self.request, &mut self.body).await
    }

    fn judge_body(&self, session: &str) -> Outcome {
        let expected = self.plan.expect.as_deref().unwrap_or_default();
        if memchr::memmem::find(&self.body, expected.as_bytes()).is_none() {
            return Outcome::Wrong("another answer");
        }
        let named = format!("\"sessionId\":\"{session}\"");
        let is_flow = matches!(self.plan.target, Target::Flow(_));
        if is_flow && memchr::memmem::find(&self.body, named.as_bytes()).is_none() {
            return Outcome::Wrong("another session");
        }
        Outcome::Right { first_token: None, n_tokens: 0 }
    }

    fn judge_stream(&self, session: &str, slot: Slot) -> Outcome {
        let stream = &self.stream;
        if !stream.is_whole() {
            return Outcome::Wrong(stream.fault.unwrap_or("a stream without `end`"));
        }
        if self.plan.expect.as_deref().is_some_and(|expected| stream.text != expected) {
            return Outcome::Wrong("another answer");
        }
        let is_flow = matches!(self.plan.target, Target::Flow(_));
        if is_flow && stream.session.as_deref() != Some(session) {
            return Outcome::Wrong("another session");
        }
        let first_token = stream.first_token.map(|at| at - slot.due);
        Outcome::Right { first_token, n_tokens: stream.n_tokens }
    }
}

/// The connection, opened anew if the last one is gone or about to be.
async fn reopened(
    connection: &mut Option<Connection>,
    address: SocketAddr,
) -> Result<&mut Connection, Failure> {
    if connection.as_ref().is_some_and(Connection::is_closing) {
        *connection = None;
    }
    match connection {
        Some(open) => Ok(open),
        None => Ok(connection.insert(Connection::open(address).await?)),
    }
}
