//! What is known of one address: whether its calls fail, and until when it is
//! left alone. It knows no clock and no dice; both are given, so that a test
//! can have its own.

use std::time::{Duration, Instant};

/// The window is looked at in pieces of one second.
const WINDOW_S: usize = 10;
/// Fewer calls in a window say nothing.
const MIN_CALLS: u32 = 20;
/// The longest that an address is left alone.
const LONGEST: Duration = Duration::from_secs(60);
/// A probe that is silent for so long lets another one through: a model that
/// thinks must not keep everybody out.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// What those are told who come while a probe is on its way.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// The state of one address.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// Counts changes of the state: what a call says that began before the
    /// last one is no news.
    generation: u32,
    /// Openings without a call that succeeded in between.
    n_openings: u32,
    born: Instant,
    window: [Second; WINDOW_S],
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    Probing { since: Instant },
}

/// The calls that ended in one second.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    n_calls: u32,
    n_failed: u32,
}

/// A call that was let through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted {
    generation: u32,
    is_probe: bool,
}

impl Circuit {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Closed,
            generation: 0,
            n_openings: 0,
            born: now,
            window: [Second::default(); WINDOW_S],
        }
    }

    /// Lets a call through, or says after what time to try again.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Admitted, Duration> {
        let is_probe = match self.state {
            State::Closed => false,
            State::Open { until } if now < until => return Err(until - now),
            State::Probing { since } if now < since + PROBE_PATIENCE => return Err(PROBE_WAIT),
            State::Open { .. } | State::Probing { .. } => {
                self.state = State::Probing { since: now };
                true
            }
        };
        Ok(Admitted { generation: self.generation, is_probe })
    }

    /// The head of an answer came. That is enough for a probe: its body may
    /// take minutes.
    pub(super) fn answered(&mut self, call: &mut Admitted) {
        if call.is_probe && call.generation == self.generation {
            self.change(State::Closed);
            *call = Admitted { generation: self.generation, is_probe: false };
        }
    }

    /// An answer came whole.
    pub(super) fn succeeded(&mut self, call: Admitted, now: Instant) {
        if call.generation == self.generation {
            self.n_openings = 0;
            self.second(now).n_calls += 1;
        }
    }

    /// A call failed; says whether that opens the circuit. It stays open for
    /// `first`, twice that after each further opening, shortened by `random`
    /// (0 to 1) of a fifth, so that servers which stopped together do not
    /// come back together.
    pub(super) fn failed(
        &mut self,
        call: Admitted,
        now: Instant,
        first: Duration,
        random: f64,
    ) -> bool {
        if call.generation != self.generation {
            return false;
        }
        let second = self.second(now);
        second.n_calls += 1;
        second.n_failed += 1;
        let opens = call.is_probe || self.fails_mostly(now);
        if opens {
            let doubled = first.saturating_mul(2_u32.saturating_pow(self.n_openings));
            let wait = doubled.min(LONGEST).mul_f64(1.0 - random.clamp(0.0, 1.0) / 5.0);
            self.n_openings += 1;
            self.change(State::Open { until: now + wait });
        }
        opens
    }

    /// A call ended without a word on the address: its caller left.
    pub(super) fn abandoned(&mut self, call: Admitted, now: Instant) {
        let is_probing = matches!(self.state, State::Probing { .. });
        if call.is_probe && call.generation == self.generation && is_probing {
            // The next call is the probe.
            self.state = State::Open { until: now };
        }
    }

    /// Whether calls are refused at this moment.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => false,
            State::Open { until } => now < until,
            State::Probing { since } => now < since + PROBE_PATIENCE,
        }
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation = self.generation.wrapping_add(1);
        self.window = [Second::default(); WINDOW_S];
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.born).as_secs()
    }

    fn second(&mut self, now: Instant) -> &mut Second {
        let number = self.number(now);
        // The remainder is below 10.
        let place = usize::try_from(number % WINDOW_S as u64).unwrap_or_default();
        let second = &mut self.window[place];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second
    }

    fn fails_mostly(&self, now: Instant) -> bool {
        let oldest = (self.number(now) + 1).saturating_sub(WINDOW_S as u64);
        let (mut n_calls, mut n_failed) = (0, 0);
        for second in self.window.iter().filter(|second| second.number >= oldest) {
            n_calls += second.n_calls;
            n_failed += second.n_failed;
        }
        n_calls >= MIN_CALLS && n_failed * 2 >= n_calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(5);

    /// A circuit with a clock of its own.
    struct Bench {
        circuit: Circuit,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            Self { circuit: Circuit::new(now), now }
        }

        fn pass(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn succeed(&mut self, n_calls: usize) {
            for _ in 0..n_calls {
                let mut call = self.circuit.admit(self.now).unwrap();
                self.circuit.answered(&mut call);
                self.circuit.succeeded(call, self.now);
            }
        }

        /// How many of so many failing calls were let through.
        fn fail(&mut self, n_calls: usize) -> usize {
            let try_once = |_: &usize| match self.circuit.admit(self.now) {
                Ok(call) => {
                    self.circuit.failed(call, self.now, FIRST, 0.0);
                    true
                }
                Err(_) => false,
            };
            (0..n_calls).filter(try_once).count()
        }

        fn wait(&mut self) -> Duration {
            self.circuit.admit(self.now).unwrap_err()
        }
    }

    #[test]
    fn twenty_failures_in_ten_seconds_open_it_and_nineteen_do_not() {
        let mut bench = Bench::new();
        assert_eq!(bench.fail(19), 19);
        assert!(!bench.circuit.is_open(bench.now));
        assert_eq!(bench.fail(10), 1);
        assert_eq!(bench.wait(), FIRST);
        assert!(bench.circuit.is_open(bench.now));
    }

    #[test]
    fn failures_that_are_older_than_the_window_do_not_count() {
        let mut bench = Bench::new();
        bench.fail(19);
        bench.pass(10_000);
        assert_eq!(bench.fail(19), 19);
        bench.pass(9_000);
        assert_eq!(bench.fail(5), 1, "19 of 9 seconds before and one are 20");
    }

    #[test]
    fn an_address_that_answers_more_than_half_of_its_calls_stays_closed() {
        let mut bench = Bench::new();
        bench.succeed(31);
        assert_eq!(bench.fail(30), 30);
        assert_eq!(bench.fail(9), 1, "31 of 62 is half");
    }

    #[test]
    fn after_its_time_one_probe_goes_through_and_its_answer_closes_it() {
        let mut bench = Bench::new();
        bench.fail(20);
        bench.pass(4_999);
        assert_eq!(bench.wait(), Duration::from_millis(1));
        bench.pass(1);
        let mut probe = bench.circuit.admit(bench.now).unwrap();
        assert_eq!(bench.wait(), PROBE_WAIT);
        assert!(bench.circuit.is_open(bench.now));
        bench.circuit.answered(&mut probe);
        assert_eq!(bench.fail(19), 19, "it begins with an empty window");
        bench.circuit.failed(probe, bench.now, FIRST, 0.0);
        assert!(bench.circuit.is_open(bench.now), "the end of the probe's body counts, too");
    }

    #[test]
    fn each_probe_that_fails_doubles_the_time_up_to_a_minute() {
        let mut bench = Bench::new();
        bench.fail(20);
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(bench.wait(), Duration::from_secs(seconds));
            bench.pass(seconds * 1000);
            assert_eq!(bench.fail(2), 1);
        }
    }

    #[test]
    fn an_address_that_only_begins_to_answer_is_left_alone_longer_and_a_whole_answer_ends_that() {
        let mut bench = Bench::new();
        bench.fail(20);
        bench.pass(5_000);
        let mut probe = bench.circuit.admit(bench.now).unwrap();
        bench.circuit.answered(&mut probe);
        bench.fail(20);
        assert_eq!(bench.wait(), Duration::from_secs(10));
        bench.pass(10_000);
        bench.succeed(1);
        bench.fail(20);
        assert_eq!(bench.wait(), FIRST);
    }

    #[test]
    fn a_probe_whose_caller_left_makes_the_next_call_the_probe() {
        let mut bench = Bench::new();
        bench.fail(20);
        bench.pass(5_000);
        let probe = bench.circuit.admit(bench.now).unwrap();
        bench.circuit.abandoned(probe, bench.now);
        assert_eq!(bench.fail(2), 1);
        assert_eq!(bench.wait(), Duration::from_secs(10));
    }

    #[test]
    fn a_silent_probe_lets_another_one_through() {
        let mut bench = Bench::new();
        bench.fail(20);
        bench.pass(5_000);
        let mut silent = bench.circuit.admit(bench.now).unwrap();
        bench.pass(10_000);
        bench.succeed(1);
        bench.circuit.answered(&mut silent);
        bench.circuit.failed(silent, bench.now, FIRST, 0.0);
        assert!(!bench.circuit.is_open(bench.now), "old news opened it again");
    }

    #[test]
    fn calls_that_began_before_it_opened_say_nothing_afterwards() {
        let mut bench = Bench::new();
        let late: Vec<_> = (0..40).map(|_| bench.circuit.admit(bench.now).unwrap()).collect();
        bench.fail(20);
        bench.pass(5_000);
        bench.succeed(1);
        for call in late {
            assert!(!bench.circuit.failed(call, bench.now, FIRST, 0.0));
        }
        assert!(!bench.circuit.is_open(bench.now));
    }

    #[test]
    fn dice_shorten_the_time_by_a_fifth_at_most() {
        for (random, ms) in [(0.0, 5_000), (0.5, 4_500), (1.0, 4_000)] {
            let mut bench = Bench::new();
            bench.fail(19);
            let call = bench.circuit.admit(bench.now).unwrap();
            assert!(bench.circuit.failed(call, bench.now, FIRST, random));
            assert_eq!(bench.wait(), Duration::from_millis(ms));
        }
    }
}
