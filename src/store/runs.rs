//! Index entries that come together and lie beside each other share one row,
//! a *run*. A row costs sled the same whether it holds one entry or thirty,
//! and a busy server writes the entries of many turns at once, in their order.
//!
//! | single | run | from the key of a run on it holds |
//! |---|---|---|
//! | `d` by date | `e` | a second |
//! | `m` by message id | `l` | a second, as ids begin with their millisecond |
//! | `o` by ordinal | `q` | 64 ordinals |
//!
//! A run's key is that of its first entry with another kind; its value is a list
//! of suffix, length(2), value. So a reader finds an entry in its own row or in
//! one of the runs that begin shortly before it. An entry stands in one place
//! only, and a run keeps its key when its first entry goes.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::error::StoreError;
use super::keys::{DATE, MESSAGE, OWNER};
use super::rows::Changes;

pub(super) const DATES: u8 = b'e';
pub(super) const MESSAGES: u8 = b'l';
pub(super) const OWNERS: u8 = b'q';

/// Bytes of a run, well below those at which a value would be cut into parts.
const MAX_BYTES: usize = 4096;

/// The messages of a chatflow by date.
pub(super) static BY_DATE: Kind =
    Kind { single: DATE, run: DATES, n_prefix: 17, n_suffix: 25, reach: 1000 };
/// Messages by id.
pub(super) static BY_ID: Kind =
    Kind { single: MESSAGE, run: MESSAGES, n_prefix: 1, n_suffix: 16, reach: 1000 << 16 };
/// Conversations by ordinal.
pub(super) static BY_ORDINAL: Kind =
    Kind { single: OWNER, run: OWNERS, n_prefix: 1, n_suffix: 8, reach: 64 };

/// Indexes whose entries may share rows.
static KINDS: [&Kind; 3] = [&BY_DATE, &BY_ID, &BY_ORDINAL];

/// A key with its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// An index: a key is a prefix, and a suffix that begins with a number of 8 bytes.
#[derive(Debug)]
pub(super) struct Kind {
    pub single: u8,
    pub run: u8,
    n_prefix: usize,
    n_suffix: usize,
    /// By how much the number of an entry may exceed that of its run.
    reach: u64,
}

impl Kind {
    fn of(key: &[u8]) -> Option<&'static Self> {
        let is_its = |kind: &&Self| {
            key.first() == Some(&kind.single) && key.len() == kind.n_prefix + kind.n_suffix
        };
        KINDS.into_iter().find(is_its)
    }

    /// The entries from a key on that have its prefix.
    pub fn all_from(&self, key: Vec<u8>) -> RangeInclusive<Vec<u8>> {
        let mut last = key[..self.n_prefix].to_vec();
        // One byte more than keys have: the end lies behind every key and its successor.
        last.resize(self.n_prefix + self.n_suffix + 1, u8::MAX);
        key..=last
    }

    /// The same key in another kind's place.
    pub fn with(kind: u8, key: &[u8]) -> Vec<u8> {
        let mut key = key.to_vec();
        key[0] = kind;
        key
    }

    /// The number of a key, or of the beginning of one.
    fn number(&self, key: &[u8]) -> u64 {
        let mut number = [0; 8];
        for (to, from) in number.iter_mut().zip(key.iter().skip(self.n_prefix)) {
            *to = *from;
        }
        u64::from_be_bytes(number)
    }

    fn with_number(&self, key: &[u8], number: u64, rest: u8) -> Vec<u8> {
        let mut moved = key[..self.n_prefix].to_vec();
        moved.extend_from_slice(&number.to_be_bytes());
        moved.resize(self.n_prefix + self.n_suffix, rest);
        moved
    }

    /// The first key of a run that may hold this entry.
    pub fn first_run(&self, key: &[u8]) -> Vec<u8> {
        let number = self.number(key).saturating_sub(self.reach);
        Self::with(self.run, &self.with_number(key, number, 0))
    }

    /// The last entry that a run may hold.
    pub fn last_entry(&self, run: &[u8]) -> Vec<u8> {
        let number = self.number(run).saturating_add(self.reach);
        Self::with(self.single, &self.with_number(run, number, u8::MAX))
    }

    /// The run that holds an entry.
    fn find(
        &self,
        tree: &sled::Tree,
        key: &[u8],
    ) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
        let near = tree.range(self.first_run(key)..=Self::with(self.run, key));
        for row in near.rev() {
            let (at, run) = row.map_err(StoreError::read)?;
            let mut entries = Suffixes { bytes: &run, n_suffix: self.n_suffix };
            if entries.any(|(suffix, _)| suffix == &key[self.n_prefix..]) {
                return Ok(Some((at, run)));
            }
        }
        Ok(None)
    }

    /// How many of these sorted entries one run can hold from the first on.
    fn run_length(&self, entries: &[Entry]) -> usize {
        let mut n_bytes = 0;
        let first = &entries[0].0;
        let fits = |(key, value): &&Entry| {
            n_bytes += self.n_suffix + 2 + value.len();
            key.len() == first.len()
                && key[..self.n_prefix] == first[..self.n_prefix]
                && self.number(key) - self.number(first) <= self.reach
                && n_bytes <= MAX_BYTES
        };
        entries.iter().take_while(fits).count().max(1)
    }

    /// The value of a run that holds these entries.
    pub fn encode(&self, entries: &[Entry]) -> Vec<u8> {
        let mut run = Vec::with_capacity(entries.iter().map(|(key, v)| key.len() + v.len()).sum());
        for (key, value) in entries {
            // Values of these indexes have at most some 530 bytes.
            let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
            run.extend_from_slice(&key[self.n_prefix..]);
            run.extend_from_slice(&length.to_be_bytes());
            run.extend_from_slice(value);
        }
        run
    }
}

/// Walks through the bytes of a run: suffixes with their values.
struct Suffixes<'a> {
    bytes: &'a [u8],
    n_suffix: usize,
}

impl<'a> Iterator for Suffixes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (suffix, rest) = self.bytes.split_at_checked(self.n_suffix)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.bytes = rest;
        Some((suffix, value))
    }
}

/// The entries of a run, each as if it stood alone, and whether its bytes hold
/// nothing else. Of a damaged run those that can be read count; of a row that is
/// no run there are none.
pub(super) fn entries(key: &[u8], run: &[u8]) -> (Vec<Entry>, bool) {
    let kind = KINDS
        .into_iter()
        .find(|kind| key.first() == Some(&kind.run) && key.len() == kind.n_prefix + kind.n_suffix);
    let Some(kind) = kind else { return (Vec::new(), false) };
    let prefix = Kind::with(kind.single, &key[..kind.n_prefix]);
    let mut suffixes = Suffixes { bytes: run, n_suffix: kind.n_suffix };
    let entry =
        |(suffix, value): (&[u8], &[u8])| ([prefix.as_slice(), suffix].concat(), value.to_vec());
    (suffixes.by_ref().map(entry).collect(), suffixes.bytes.is_empty())
}

/// The value of an index entry, or of any other row.
///
/// # Errors
/// Those of reading.
pub(super) fn get(tree: &sled::Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    if let Some(value) = tree.get(key).map_err(StoreError::read)? {
        return Ok(Some(value.to_vec()));
    }
    let Some(kind) = Kind::of(key) else { return Ok(None) };
    let Some((_, run)) = kind.find(tree, key)? else { return Ok(None) };
    let mut suffixes = Suffixes { bytes: &run, n_suffix: kind.n_suffix };
    let found = suffixes.find(|(suffix, _)| *suffix == &key[kind.n_prefix..]);
    Ok(found.map(|(_, value)| value.to_vec()))
}

/// What a batch wants of one index entry.
#[derive(Default)]
struct Wish {
    value: Option<Vec<u8>>,
    /// The entry may be in the tree: it was removed, if only to come back.
    is_old: bool,
}

/// Changes of the history as they are written: new index entries together,
/// removed ones taken out of their runs. The changes before must be applied.
///
/// # Errors
/// Those of reading.
pub(super) fn gather(tree: &sled::Tree, changes: Changes) -> Result<Changes, StoreError> {
    let mut written = Vec::with_capacity(changes.len());
    let mut wishes: BTreeMap<Vec<u8>, Wish> = BTreeMap::new();
    for (key, value) in changes {
        if Kind::of(&key).is_none() {
            written.push((key, value));
            continue;
        }
        let wish = wishes.entry(key).or_default();
        wish.is_old |= value.is_none();
        wish.value = value;
    }
    let (mut new, mut cut) = (Vec::new(), BTreeMap::new());
    for (key, wish) in wishes {
        match wish {
            Wish { value: Some(value), is_old: false } => new.push((key, value)),
            Wish { value, .. } => {
                if !take_out(tree, &key, &mut cut)? || value.is_some() {
                    written.push((key, value));
                }
            }
        }
    }
    for (at, (kind, left)) in cut {
        let run = (!left.is_empty()).then(|| kind.encode(&left));
        written.push((at.to_vec(), run));
    }
    add(tree, &new, &mut written)?;
    Ok(written)
}

/// Takes an entry out of its run; false where it has a row of its own or none.
fn take_out(
    tree: &sled::Tree,
    key: &[u8],
    cut: &mut BTreeMap<sled::IVec, (&'static Kind, Vec<Entry>)>,
) -> Result<bool, StoreError> {
    if tree.contains_key(key).map_err(StoreError::read)? {
        return Ok(false);
    }
    let Some(kind) = Kind::of(key) else { return Ok(false) };
    let Some((at, run)) = kind.find(tree, key)? else { return Ok(false) };
    let left = || (kind, entries(&at, &run).0);
    let (_, left) = cut.entry(at.clone()).or_insert_with(left);
    left.retain(|(other, _)| other != key);
    Ok(true)
}

/// Writes new entries, sorted by their keys, in as few rows as hold them.
fn add(tree: &sled::Tree, mut new: &[Entry], written: &mut Changes) -> Result<(), StoreError> {
    while let Some((first, _)) = new.first() {
        let Some(kind) = Kind::of(first) else { return Ok(()) };
        let (run, rest) = new.split_at(kind.run_length(new));
        new = rest;
        let at = Kind::with(kind.run, first);
        // A run whose first entry was deleted may still have that key.
        if run.len() > 1 && !tree.contains_key(&at).map_err(StoreError::read)? {
            written.push((at, Some(kind.encode(run))));
        } else {
            written.extend(run.iter().map(|(key, value)| (key.clone(), Some(value.clone()))));
        }
    }
    Ok(())
}
