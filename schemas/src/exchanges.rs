//! The remembered exchanges of a conversation in one text: a session at rest
//! holds no allocation for each turn, and a memory reads them in place.

use std::fmt;
use std::sync::Arc;

use crate::exchange::{Exchange, Reader};
use crate::turn::Turn;

/// Above this length a text gets a sixteenth to grow into, so that a long
/// conversation is not copied at every turn; below it copying costs nothing.
const GROWS_FROM: usize = 4096;

/// Exchanges in their order, oldest first. Clones share them.
#[derive(Clone, Default)]
pub struct Exchanges {
    text: Arc<String>,
    /// Where the first exchange begins.
    start: usize,
    n_exchanges: usize,
}

impl Exchanges {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.n_exchanges
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n_exchanges == 0
    }

    /// The bytes that they take.
    pub fn weight(&self) -> usize {
        self.text.len() - self.start
    }

    /// The bytes that a turn will take among them.
    pub fn weight_of(turn: &Turn) -> usize {
        Exchange::of(turn, |exchange| exchange.weight())
    }

    /// Reads them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Exchange<'_>> {
        let mut reader = self.reader();
        std::iter::from_fn(move || reader.exchange())
    }

    /// All but the first `n_skipped`.
    #[must_use]
    pub fn skip(&self, n_skipped: usize) -> Self {
        let mut reader = self.reader();
        let skipped = std::iter::from_fn(|| reader.exchange()).take(n_skipped).count();
        Self {
            text: self.text.clone(),
            start: self.text.len() - reader.0.len(),
            n_exchanges: self.n_exchanges - skipped,
        }
    }

    /// The last `n_wanted`, or all.
    #[must_use]
    pub fn last(&self, n_wanted: usize) -> Self {
        self.skip(self.n_exchanges.saturating_sub(n_wanted))
    }

    /// Adds what is remembered of a turn.
    pub fn push(&mut self, turn: &Turn) {
        Exchange::of(turn, |exchange| self.add(exchange));
    }

    /// Gives room back that was kept for exchanges since skipped.
    pub fn trim(&mut self) {
        if self.text.capacity() > self.weight() + self.weight() / 4 {
            self.renew(0);
        }
    }

    fn add(&mut self, exchange: &Exchange<'_>) {
        let n_more = exchange.weight();
        let fits = n_more <= self.text.capacity() - self.text.len();
        if !fits || Arc::get_mut(&mut self.text).is_none() {
            self.renew(n_more);
        }
        // Nobody else has it, or it was renewed: this never copies.
        exchange.write(Arc::make_mut(&mut self.text));
        self.n_exchanges += 1;
    }

    /// Moves the exchanges into a text of their own with room for `n_more` bytes.
    fn renew(&mut self, n_more: usize) {
        let needed = self.weight() + n_more;
        let spare = if needed < GROWS_FROM { 0 } else { needed / 16 };
        let mut text = String::with_capacity(needed + spare);
        text.extend(self.text.get(self.start..));
        (self.text, self.start) = (Arc::new(text), 0);
    }

    fn reader(&self) -> Reader<'_> {
        Reader(self.text.get(self.start..).unwrap_or_default())
    }
}

impl<'a> FromIterator<&'a Turn> for Exchanges {
    fn from_iter<T: IntoIterator<Item = &'a Turn>>(turns: T) -> Self {
        let (mut text, mut n_exchanges) = (String::new(), 0);
        for turn in turns {
            Exchange::of(turn, |exchange| exchange.write(&mut text));
            n_exchanges += 1;
        }
        text.shrink_to_fit();
        Self { text: Arc::new(text), start: 0, n_exchanges }
    }
}

impl PartialEq for Exchanges {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
