//! The embedded index, in memory: segments that never change, what of them is
//! alive, and how they are searched.
//!
//! Pure: the server's store reads segments from files and decides what is
//! alive ([`crate::ctx::Services::shelf`]).

mod bits;
mod codes;
mod filter;
mod graph;
mod scan;
mod search;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod words;

pub use bits::Bits;
pub use filter::Filter;
pub(crate) use scan::{dot, unit};
pub use search::Search;
pub(crate) use segment::CHAT_KEY;
pub use segment::{Row, RowReader, Segment, SegmentParts};
pub use snapshot::{Live, Place, Snapshot};
