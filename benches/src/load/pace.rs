//! Who may send next, and when that request should have gone out.
//!
//! Open load is paced by a thread of its own: a runtime's timers wake at whole
//! milliseconds, which would be most of the latency that is to be measured. It hands
//! out permits; a connection that is free takes one and counts from the time at which
//! the permit was due. When all are busy the permits wait, and so do their clocks.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::plan::{Mode, Plan};

/// How long open load may go on after its time for requests that are due already.
const GRACE: Duration = Duration::from_secs(5);

/// A request that may be sent now.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its number in the run, from 0.
    pub number: u64,
    /// When it should have been sent.
    pub due: Instant,
}

/// The pace of one run.
#[derive(Debug)]
pub struct Pace {
    started: Instant,
    ends: Instant,
    limit: u64,
    next: Cell<u64>,
    metronome: Option<Metronome>,
}

impl Pace {
    /// Starts the clock.
    pub fn start(plan: &Plan) -> Self {
        let started = Instant::now();
        let limit = plan.request_limit();
        let metronome = match plan.mode {
            Mode::Open(rate) => Some(Metronome::start(started, rate, limit)),
            Mode::Closed => None,
        };
        Self { started, ends: started + plan.duration, limit, next: Cell::new(0), metronome }
    }

    /// When the first request was due.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Waits for the next request of open load, or takes it at once in closed load;
    /// nothing when the run is over.
    pub async fn next(&self) -> Option<Slot> {
        let Some(metronome) = &self.metronome else {
            return self.next_closed();
        };
        metronome.permits.acquire().await.ok()?.forget();
        if Instant::now() > self.ends + GRACE {
            metronome.permits.close();
            return None;
        }
        let number = self.take();
        if number + 1 == self.limit {
            metronome.permits.close();
        }
        Some(Slot { number, due: self.started + metronome.offset(number) })
    }

    /// Requests that the plan intended: in closed load those that were sent.
    pub fn n_intended(&self) -> u64 {
        if self.metronome.is_some() { self.limit } else { self.next.get() }
    }

    /// Requests that were due but found no free connection before the end.
    pub fn n_unsent(&self) -> u64 {
        self.n_intended() - self.next.get()
    }

    fn next_closed(&self) -> Option<Slot> {
        let now = Instant::now();
        let goes_on = now < self.ends && self.next.get() < self.limit;
        goes_on.then(|| Slot { number: self.take(), due: now })
    }

    fn take(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }
}

/// The thread that hands out permits; it stops when this is dropped.
#[derive(Debug)]
struct Metronome {
    rate: f64,
    permits: Arc<Semaphore>,
    _stop: Sender<()>,
}

impl Metronome {
    fn start(started: Instant, rate: f64, limit: u64) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let (stop, stopped) = mpsc::channel::<()>();
        let metronome = Self { rate, permits: permits.clone(), _stop: stop };
        std::thread::spawn(move || {
            let mut released = 0;
            while released < limit {
                let next_due = started + offset(rate, released);
                let wait = next_due.saturating_duration_since(Instant::now());
                // A receive with a timeout is a precise sleep that also hears the stop.
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let due = n_due(rate, started.elapsed()).min(limit);
                permits.add_permits(due.saturating_sub(released) as usize);
                released = due.max(released);
            }
        });
        metronome
    }

    fn offset(&self, number: u64) -> Duration {
        offset(self.rate, number)
    }
}

fn offset(rate: f64, number: u64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

/// How many requests are due after so long: the first is due at once.
fn n_due(rate: f64, elapsed: Duration) -> u64 {
    (elapsed.as_secs_f64() * rate) as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Target;

    fn plan(mode: Mode, seconds: f64) -> Plan {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let duration = Duration::from_secs_f64(seconds);
        Plan { mode, ..Plan::closed(address, Target::Path("/".into()), 1, duration) }
    }

    #[tokio::test]
    async fn open_load_hands_out_each_request_once_at_its_own_time() {
        let pace = Pace::start(&plan(Mode::Open(1000.0), 0.05));
        let mut slots = Vec::new();
        while let Some(slot) = pace.next().await {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 50);
        assert_eq!(slots[49].due - pace.started(), Duration::from_millis(49));
        assert_eq!((pace.n_intended(), pace.n_unsent()), (50, 0));
    }

    #[tokio::test]
    async fn closed_load_ends_at_its_request_limit() {
        let plan = Plan { max_requests: Some(3), ..plan(Mode::Closed, 60.0) };
        let pace = Pace::start(&plan);
        while pace.next().await.is_some() {}
        assert_eq!(pace.n_intended(), 3);
    }
}
