//! The exact search: every row against the question, the best kept. Rows whose
//! coarse copy says that they cannot be among the best are not read in full.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;

use uuid::Uuid;

use super::bits::Bits;
use super::codes::Question;
use super::segment::Segment;
use super::snapshot::Place;

/// Sums that are added up side by side, so that the compiler takes the
/// processor's vector units without reordering anything.
const LANES: usize = 16;

/// Appends a vector scaled to length 1; one of no length stays as zeros.
pub(super) fn extend_unit(units: &mut Vec<f32>, vector: &[f32]) {
    // In f64 no square of an f32 overflows.
    let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let scale = if squares > 0.0 { squares.sqrt().recip() } else { 0.0 };
    units.extend(vector.iter().map(|x| (f64::from(*x) * scale) as f32));
}

/// A vector scaled to length 1; one of no length stays as zeros.
pub(crate) fn unit(vector: &[f32]) -> Vec<f32> {
    let mut unit = Vec::with_capacity(vector.len());
    extend_unit(&mut unit, vector);
    unit
}

/// The scalar product; of two vectors of length 1 their cosine.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// A row with how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) score: f64,
    /// Of equally good rows the one of the smaller id is better: a choice that
    /// no merging of segments changes.
    pub(super) id: Uuid,
    pub(super) place: Place,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.id.cmp(&self.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best `k` of what was shown to it.
pub(super) struct Best {
    k: usize,
    kept: BinaryHeap<Reverse<Candidate>>,
}

impl Best {
    pub(super) fn of(k: usize) -> Self {
        Self { k, kept: BinaryHeap::new() }
    }

    /// Whether a row of this score may be among the best.
    pub(super) fn may_take(&self, score: f64) -> bool {
        self.kept.len() < self.k || self.kept.peek().is_some_and(|Reverse(w)| score >= w.score)
    }

    pub(super) fn take(&mut self, candidate: Candidate) {
        if self.kept.len() < self.k {
            self.kept.push(Reverse(candidate));
        } else if let Some(mut worst) = self.kept.peek_mut()
            && candidate > worst.0
        {
            *worst = Reverse(candidate);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.kept.into_iter().for_each(|Reverse(candidate)| self.take(candidate));
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<Candidate> {
        // Ascending order of the reversed is best first.
        self.kept.into_sorted_vec().into_iter().map(|Reverse(candidate)| candidate).collect()
    }
}

/// Rows of one segment to be searched.
pub(super) struct Stretch<'a> {
    pub(super) segment: &'a Segment,
    /// Index of the segment in its snapshot.
    pub(super) at: usize,
    pub(super) rows: Range<usize>,
    pub(super) dead: &'a Bits,
    /// Rows that may be found; all without one.
    pub(super) mask: Option<&'a Bits>,
}

impl Stretch<'_> {
    pub(super) fn is_open(&self, row: usize) -> bool {
        !self.dead.contains(row) && self.mask.is_none_or(|mask| mask.contains(row))
    }

    /// Shows to `best` every row that may be of them; `question` is of length 1
    /// and the same as `coarse`.
    pub(super) fn search(&self, question: &[f32], coarse: &Question, best: &mut Best) {
        let n = question.len();
        let (units, codes) = (self.segment.units(), self.segment.codes());
        for row in self.rows.clone() {
            if !self.is_open(row) || !best.may_take(codes.at_most(coarse, row)) {
                continue;
            }
            let score = f64::from(dot(question, &units[row * n..(row + 1) * n]));
            if best.may_take(score) {
                let place = Place { segment: self.at, row };
                best.take(Candidate { score, id: self.segment.id(row), place });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scalar_product_is_that_of_the_textbook_at_every_length() {
        for n in [0, 1, 15, 16, 17, 384, 1_000] {
            let a: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32 - 2.0).collect();
            let plain: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-3, "{n}");
        }
    }

    #[test]
    fn a_vector_of_any_size_gets_length_one_and_nothing_stays_nothing() {
        for vector in [[3.0, 4.0], [1e30, 1e30], [1e-30, 0.0], [f32::MAX, f32::MAX]] {
            let mut unit = Vec::new();
            extend_unit(&mut unit, &vector);
            assert!((dot(&unit, &unit) - 1.0).abs() < 1e-5, "{vector:?} became {unit:?}");
        }
        let mut unit = Vec::new();
        extend_unit(&mut unit, &[0.0, 0.0]);
        assert_eq!(unit, [0.0, 0.0]);
    }

    #[test]
    fn the_best_are_kept_in_order_and_ties_go_to_the_smaller_id() {
        let mut best = Best::of(3);
        for (row, score) in [0.1, 0.9, 0.5, 0.9, 0.2].into_iter().enumerate() {
            let place = Place { segment: 0, row };
            best.take(Candidate { score, id: Uuid::from_u128(9 - row as u128), place });
        }
        let rows: Vec<_> = best.into_sorted().iter().map(|found| found.place.row).collect();
        assert_eq!(rows, [3, 1, 2]);
    }
}
