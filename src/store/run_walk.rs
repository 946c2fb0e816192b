//! The walk through an index whose entries have rows of their own or share some
//! (see [`super::runs`]), in the order of their keys.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::error::StoreError;
use super::messages::Order;
use super::runs::{Entry, Kind, entries};

/// The entries of one index between two keys, singles and those of runs merged.
pub(super) struct Entries {
    kind: &'static Kind,
    range: RangeInclusive<Vec<u8>>,
    order: Order,
    singles: Rows,
    runs: Rows,
    /// Met, and not given yet because an earlier one may come.
    met: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Rows in the order of the walk, the next one known.
struct Rows {
    rows: sled::Iter,
    next: Option<(sled::IVec, sled::IVec)>,
}

impl Rows {
    fn advance(&mut self, order: Order) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
        let next = match order {
            Order::Ascending => self.rows.next(),
            Order::Descending => self.rows.next_back(),
        };
        let next = next.transpose().map_err(StoreError::read)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// Walks through the entries of an index. The bounds hold its whole prefix; they
/// may be beginnings of keys, or longer than keys are.
///
/// # Errors
/// Those of reading.
pub(super) fn range(
    tree: &sled::Tree,
    kind: &'static Kind,
    range: RangeInclusive<Vec<u8>>,
    order: Order,
) -> Result<Entries, StoreError> {
    let runs = kind.first_run(range.start())..=Kind::with(kind.run, range.end());
    let rows = |range| Rows { rows: tree.range::<Vec<u8>, _>(range), next: None };
    let (singles, runs) = (rows(range.clone()), rows(runs));
    let mut entries = Entries { kind, range, order, singles, runs, met: BTreeMap::new() };
    entries.singles.advance(order)?;
    entries.runs.advance(order)?;
    Ok(entries)
}

impl Entries {
    fn step(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            let single = self.singles.next.as_ref().map(|(key, _)| key.to_vec());
            let run = self.runs.next.as_ref().map(|(at, _)| match self.order {
                Order::Ascending => Kind::with(self.kind.single, at),
                Order::Descending => self.kind.last_entry(at),
            });
            let is_before = |key: &[u8], other: Option<&[u8]>| match (other, self.order) {
                (None, _) => true,
                (Some(other), Order::Ascending) => key <= other,
                (Some(other), Order::Descending) => key >= other,
            };
            let first = match self.order {
                Order::Ascending => self.met.first_key_value(),
                Order::Descending => self.met.last_key_value(),
            };
            if let Some((first, _)) = first
                && is_before(first, single.as_deref())
                && is_before(first, run.as_deref())
            {
                return Ok(match self.order {
                    Order::Ascending => self.met.pop_first(),
                    Order::Descending => self.met.pop_last(),
                });
            }
            match single {
                Some(key) if is_before(&key, run.as_deref()) => {
                    let row = self.singles.advance(self.order)?;
                    self.met.extend(row.map(|(key, value)| (key.to_vec(), value.to_vec())));
                }
                _ => {
                    let Some((at, run)) = self.runs.advance(self.order)? else { return Ok(None) };
                    let entries = entries(&at, &run).0.into_iter();
                    self.met.extend(entries.filter(|(key, _)| self.range.contains(key)));
                }
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
