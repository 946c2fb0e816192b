//! A moment of a collection. Whoever searches holds one and waits for nobody.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::bits::Bits;
use super::filter::Filter;
use super::segment::Segment;
use crate::error::NodeError;

/// The segments of a collection and what of them is alive.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Length of all vectors; 0 while there are none.
    pub n_dimensions: usize,
    /// The segments; an id is alive in one row of one of them at most.
    pub segments: Vec<Live>,
}

/// A segment and its dead rows.
#[derive(Clone)]
pub struct Live {
    /// The rows.
    pub segment: Arc<Segment>,
    /// Those that were deleted or replaced.
    pub dead: Arc<Bits>,
}

/// A row of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of its segment.
    pub segment: usize,
    /// The row in it.
    pub row: usize,
}

impl Live {
    /// Rows that are alive.
    pub fn n_alive(&self) -> usize {
        self.segment.n_rows() - self.dead.count()
    }

    /// Rows that are alive.
    pub fn alive(&self) -> impl Iterator<Item = usize> {
        (0..self.segment.n_rows()).filter(|row| !self.dead.contains(*row))
    }
}

impl Snapshot {
    /// Chunks.
    pub fn n_alive(&self) -> usize {
        self.segments.iter().map(Live::n_alive).sum()
    }

    /// Whether the words of all segments are in memory.
    pub fn has_words(&self) -> bool {
        self.segments.iter().all(|live| live.segment.has_words())
    }

    /// Reads the words of segments of which they are not in memory.
    ///
    /// # Errors
    /// When a content cannot be read.
    pub fn read_words(&self) -> Result<(), NodeError> {
        self.segments.iter().try_for_each(|live| live.segment.words().map(drop))
    }

    /// Where the chunk of an id is.
    pub fn find(&self, id: Uuid) -> Option<Place> {
        self.segments.iter().enumerate().find_map(|(segment, live)| {
            let row = live.segment.rows_of(id).find(|row| !live.dead.contains(*row))?;
            Some(Place { segment, row })
        })
    }

    /// Which of these ids are there.
    pub fn known(&self, ids: &[Uuid]) -> HashSet<Uuid> {
        ids.iter().copied().filter(|id| self.find(*id).is_some()).collect()
    }

    /// Ids of the chunks that a filter lets through, at most `most`.
    pub fn matching(&self, filter: &Filter, most: usize) -> Vec<Uuid> {
        let of = |live: &Live| {
            let mask = live.segment.mask(filter);
            let rows = live.alive().filter(|row| mask.contains(*row));
            rows.map(|row| live.segment.id(row)).take(most).collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        for live in &self.segments {
            found.extend(of(live));
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        found
    }
}
