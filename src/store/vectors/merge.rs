//! Fewer segments: which are merged, and how.

use parlor_nodes::NodeError;
use parlor_nodes::vector_index::{Live, Snapshot};

use super::format::SegmentWriter;

/// More segments than this are merged, so that each search looks into few.
const MAX_SEGMENTS: usize = 8;

/// The segments to make one of; none where all is well.
///
/// Of too many the smallest, as long as the next is not larger than those
/// before it together: so each chunk is written anew about as often as the
/// collection doubles. One that is dead by more than half is written anew.
pub(super) fn choose(snapshot: &Snapshot) -> Vec<usize> {
    let segments = &snapshot.segments;
    let n_alive = |at: &usize| segments[*at].n_alive();
    let mut chosen: Vec<usize> = (0..segments.len())
        .filter(|at| segments[*at].dead.count() * 2 > segments[*at].segment.n_rows())
        .collect();
    if segments.len() > MAX_SEGMENTS {
        let mut others: Vec<usize> =
            (0..segments.len()).filter(|at| !chosen.contains(at)).collect();
        others.sort_by_key(n_alive);
        let mut total: usize = chosen.iter().map(n_alive).sum();
        for at in others {
            if chosen.len() >= 2 && n_alive(&at) > total {
                break;
            }
            total += n_alive(&at);
            chosen.push(at);
        }
    }
    chosen
}

/// Writes what is alive of these segments, byte for byte as it was put.
pub(super) fn write(
    snapshot: &Snapshot,
    chosen: &[usize],
    writer: &mut SegmentWriter,
) -> Result<(), NodeError> {
    for Live { segment, dead } in chosen.iter().map(|at| &snapshot.segments[*at]) {
        for row in (0..segment.n_rows()).filter(|row| !dead.contains(*row)) {
            let (content, vector) = (segment.reader().content(row)?, segment.reader().vector(row)?);
            writer.put_row(segment.id(row), &vector, &content, segment.metadata_json(row))?;
        }
    }
    Ok(())
}
