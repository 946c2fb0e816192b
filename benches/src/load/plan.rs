//! What a load is: parsed from options once, checked against its bounds once.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::ensure;

/// Bounds, so that a slip of the keyboard cannot take the machine down.
const MAX_CONNECTIONS: usize = 20_000;
const MAX_SECONDS: u64 = 3_600;
const MAX_RATE: f64 = 200_000.0;
const MAX_REQUESTS: u64 = 20_000_000;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// At a fixed rate per second, whether answers come or not.
    Open(f64),
    /// On each connection as soon as the last answer is there.
    Closed,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Target {
    /// A prediction of this chatflow.
    Flow(String),
    /// A POST to this path, of which only the answer's text is checked.
    Path(String),
    /// The model server itself, in OpenAI's wire format.
    Model,
    /// Another server's own request, of which only the answer's text is checked.
    Shaped(Shape),
}

/// The request of a server that is compared with. Streams are read as OpenAI's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The path of the POST.
    pub path: String,
    /// Headers besides host, content type and length.
    pub headers: Vec<(String, String)>,
    /// The body, with `{question}` (a JSON text), `{session}` (without its quotes) and
    /// `{stream}` (true or false) where they belong; the session comes once at most.
    pub body: String,
}

/// Which session a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// A new one each time.
    New,
    /// So many at a time, in turn; each is left for a fresh one after so many turns
    /// (0: never), because a conversation whose history grows for ever measures that.
    Rotating {
        /// Sessions in use at a time.
        n_sessions: u64,
        /// Turns in one session.
        n_turns: u64,
    },
}

/// A whole load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server, on loopback.
    pub address: SocketAddr,
    /// What is asked of it.
    pub target: Target,
    /// When.
    pub mode: Mode,
    /// Connections: all that closed load has in flight, at most what open load has.
    pub n_connections: usize,
    /// How long requests are sent.
    pub duration: Duration,
    /// Stop after so many requests, if that is sooner.
    pub max_requests: Option<u64>,
    /// Which sessions.
    pub sessions: Sessions,
    /// What the names of the sessions begin with; different for each run.
    pub prefix: String,
    /// Whether answers are streamed.
    pub stream: bool,
    /// The key that each request brings.
    pub key: Option<String>,
    /// The answer that is right; nothing takes any.
    pub expect: Option<String>,
    /// An answer that takes longer is a failure.
    pub timeout: Duration,
    /// Keep the numbers of acknowledged requests, for comparing with the store.
    pub keeps_ledger: bool,
}

impl Plan {
    /// A closed load on a target, with new sessions; the rest can be set on it.
    pub fn closed(address: SocketAddr, target: Target, n: usize, duration: Duration) -> Self {
        Self {
            address,
            target,
            mode: Mode::Closed,
            n_connections: n,
            duration,
            max_requests: None,
            sessions: Sessions::New,
            prefix: fresh_prefix(),
            stream: false,
            key: None,
            expect: None,
            timeout: Duration::from_secs(30),
            keeps_ledger: false,
        }
    }

    /// Refuses a plan out of bounds.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.address.ip().is_loopback(), "only loopback addresses can be measured");
        ensure!(
            (1..=MAX_CONNECTIONS).contains(&self.n_connections),
            "connections: 1 to {MAX_CONNECTIONS}"
        );
        ensure!(self.duration.as_secs() <= MAX_SECONDS, "seconds: at most {MAX_SECONDS}");
        if let Mode::Open(rate) = self.mode {
            ensure!(rate > 0.0 && rate <= MAX_RATE, "rate: above 0, at most {MAX_RATE}");
        }
        if let Target::Shaped(shape) = &self.target {
            ensure!(shape.body.contains("{session}"), "a request must name its session");
        }
        if let Sessions::Rotating { n_sessions, .. } = self.sessions {
            ensure!(n_sessions > 0, "sessions: at least 1, or leave it out for new ones");
        }
        ensure!(
            self.request_limit() <= MAX_REQUESTS,
            "rate times seconds: at most {MAX_REQUESTS} requests"
        );
        Ok(())
    }

    /// The most requests this plan may send.
    pub fn request_limit(&self) -> u64 {
        let by_mode = match self.mode {
            Mode::Open(rate) => (rate * self.duration.as_secs_f64()).round() as u64,
            Mode::Closed => MAX_REQUESTS,
        };
        by_mode.min(self.max_requests.unwrap_or(u64::MAX))
    }

    /// The session of request `number`.
    pub fn session(&self, number: u64) -> String {
        let prefix = &self.prefix;
        match self.sessions {
            Sessions::New => format!("{prefix}-{number}"),
            Sessions::Rotating { n_sessions, n_turns } => {
                let seat = number % n_sessions;
                let guest = (number / n_sessions).checked_div(n_turns).unwrap_or(0);
                format!("{prefix}-{seat}-{guest}")
            }
        }
    }

    /// The same plan for another stretch of time, in sessions of its own.
    pub fn again_for(&self, duration: Duration) -> Self {
        Self { duration, prefix: fresh_prefix(), ..self.clone() }
    }
}

/// A prefix that no earlier run on this machine has used.
pub fn fresh_prefix() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("bench-{:x}", since.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sessions: Sessions) -> Plan {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let target = Target::Path("/".into());
        let plan = Plan::closed(address, target, 1, Duration::from_secs(1));
        Plan { sessions, prefix: "p".into(), ..plan }
    }

    #[test]
    fn rotating_sessions_take_turns_and_are_left_after_their_last() {
        let plan = plan(Sessions::Rotating { n_sessions: 2, n_turns: 2 });
        let names: Vec<_> = (0..6).map(|number| plan.session(number)).collect();
        assert_eq!(names, ["p-0-0", "p-1-0", "p-0-0", "p-1-0", "p-0-1", "p-1-1"]);
    }

    #[test]
    fn sessions_without_a_last_turn_go_on() {
        let plan = plan(Sessions::Rotating { n_sessions: 2, n_turns: 0 });
        assert_eq!(plan.session(1001), "p-1-0");
    }

    #[test]
    fn a_plan_out_of_bounds_is_refused() {
        let mut plan = plan(Sessions::New);
        assert!(plan.check().is_ok());
        plan.mode = Mode::Open(1e9);
        assert!(plan.check().is_err());
        plan.mode = Mode::Closed;
        plan.address = SocketAddr::from(([8, 8, 8, 8], 80));
        assert!(plan.check().is_err());
    }
}
