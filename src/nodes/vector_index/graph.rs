//! The approximate search in large segments: a hierarchical navigable small
//! world (Malkov and Yashunin, 2018) over vectors of length 1.
//!
//! A graph is built once over rows that never change. It is used only where a
//! sample of questions shows that it finds what the exact search finds.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

use super::bits::Bits;
use super::scan::{dot, extend_unit};

/// Neighbours of a row above the ground floor; twice as many on it.
const M: usize = 16;
/// Candidates while building.
const BUILD_WIDTH: usize = 128;
const NONE: u32 = u32::MAX;
const ROWS_BETWEEN_ASKING: u32 = 512;
/// Questions and hits of the sample that decides whether a graph is used.
const N_SAMPLES: u32 = 64;
const SAMPLE_HITS: usize = 10;
const MIN_RECALL: f64 = 0.97;
const ROUNDING: f32 = 1e-6;

/// A graph over the rows of a segment.
pub(super) struct Graph {
    /// Neighbours on the ground floor, `2 * M` a row, [`NONE`] after the last.
    ground: Vec<u32>,
    /// Neighbours on the floors above, of the few rows that reach there.
    upper: HashMap<u32, Vec<Vec<u32>>>,
    entry: u32,
    top: usize,
}

/// Rows one after the other, each of length 1.
#[derive(Clone, Copy)]
pub(super) struct Units<'a> {
    pub(super) all: &'a [f32],
    pub(super) n_dimensions: usize,
}

/// A row and its cosine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub(super) score: f32,
    pub(super) row: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.row.cmp(&self.row))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Units<'a> {
    fn n_rows(self) -> usize {
        self.all.len() / self.n_dimensions
    }

    pub(super) fn of(self, row: u32) -> &'a [f32] {
        let from = row as usize * self.n_dimensions;
        &self.all[from..from + self.n_dimensions]
    }

    fn near(self, question: &[f32], row: u32) -> Near {
        Near { score: dot(question, self.of(row)), row }
    }
}

impl Graph {
    /// Builds a graph; `None` where `keep_going`, asked now and then, says no.
    /// Takes about a minute for 100,000 rows.
    pub(super) fn build(units: Units<'_>, keep_going: impl Fn() -> bool) -> Option<Self> {
        let ground = vec![NONE; units.n_rows() * 2 * M];
        let mut graph = Self { ground, upper: HashMap::new(), entry: 0, top: 0 };
        let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
        for row in 0..units.n_rows() as u32 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            graph.insert(units, row, floor_of(dice));
            if row % ROWS_BETWEEN_ASKING == 0 && !keep_going() {
                return None;
            }
        }
        Some(graph)
    }

    /// Whether of a sample of questions it finds [`MIN_RECALL`] of what the
    /// exact search finds. The questions lie between two rows each.
    pub(super) fn is_good(&self, units: Units<'_>, width: usize) -> bool {
        let n_rows = units.n_rows() as u32;
        let (mut n_same, mut n_all) = (0, 0);
        for n in 0..N_SAMPLES {
            let pick = |step: u32| units.of((n * (n_rows / N_SAMPLES).max(1) + step) % n_rows);
            let sum: Vec<f32> = pick(0).iter().zip(pick(n_rows / 3)).map(|(a, b)| a + b).collect();
            let mut question = Vec::with_capacity(sum.len());
            extend_unit(&mut question, &sum);
            let mut exact: Vec<Near> = (0..n_rows).map(|row| units.near(&question, row)).collect();
            let k = SAMPLE_HITS.min(exact.len());
            let (_, worst, _) = exact.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
            // Of equally near rows any will do.
            let least = worst.score - ROUNDING;
            let found = self.search(units, &question, width);
            n_all += k;
            n_same += found.iter().take(k).filter(|near| near.score >= least).count();
        }
        n_same as f64 >= MIN_RECALL * n_all as f64
    }

    fn insert(&mut self, units: Units<'_>, row: u32, floor: usize) {
        if floor > 0 {
            self.upper.insert(row, vec![Vec::new(); floor]);
        }
        if row == 0 {
            self.top = floor;
            return;
        }
        let question = units.of(row);
        let mut from = self.descend(units, question, floor);
        for at in (0..=floor.min(self.top)).rev() {
            let found = self.search_floor(units, question, from, BUILD_WIDTH, at);
            from = found.first().copied().unwrap_or(from);
            let chosen = choose(units, &found, M);
            self.set(row, at, &chosen);
            for near in chosen {
                self.link(units, near, row, at);
            }
        }
        if floor > self.top {
            (self.entry, self.top) = (row, floor);
        }
    }

    /// Gives a row one neighbour more; of too many the best spread stay.
    fn link(&mut self, units: Units<'_>, to: Near, row: u32, at: usize) {
        let most = if at == 0 { 2 * M } else { M };
        let from = units.of(to.row);
        let mut near: Vec<Near> =
            self.neighbours(to.row, at).map(|other| units.near(from, other)).collect();
        near.push(Near { score: to.score, row });
        if near.len() > most {
            near.sort_by(|a, b| b.cmp(a));
            near = choose(units, &near, most);
        }
        self.set(to.row, at, &near);
    }

    fn neighbours(&self, row: u32, at: usize) -> impl Iterator<Item = u32> {
        let row_at = row as usize * 2 * M;
        let list = match at.checked_sub(1) {
            None => &self.ground[row_at..row_at + 2 * M],
            Some(above) => {
                self.upper.get(&row).and_then(|floors| floors.get(above)).map_or(&[][..], |v| v)
            }
        };
        list.iter().copied().take_while(|row| *row != NONE)
    }

    fn set(&mut self, row: u32, at: usize, near: &[Near]) {
        let rows = near.iter().map(|near| near.row);
        match at.checked_sub(1) {
            None => {
                let from = row as usize * 2 * M;
                let places = &mut self.ground[from..from + 2 * M];
                let rows = rows.chain(std::iter::repeat(NONE));
                places.iter_mut().zip(rows).for_each(|(place, row)| *place = row);
            }
            Some(above) => {
                if let Some(list) = self.upper.get_mut(&row).and_then(|all| all.get_mut(above)) {
                    *list = rows.collect();
                }
            }
        }
    }

    /// The nearest row that steps from the top lead to, above a floor.
    fn descend(&self, units: Units<'_>, question: &[f32], floor: usize) -> Near {
        let mut best = units.near(question, self.entry);
        for at in (floor + 1..=self.top).rev() {
            loop {
                let around = self.neighbours(best.row, at).map(|row| units.near(question, row));
                match around.max() {
                    Some(near) if near.score > best.score => best = near,
                    _ => break,
                }
            }
        }
        best
    }

    /// About the `width` nearest rows on a floor, best first.
    fn search_floor(
        &self,
        units: Units<'_>,
        question: &[f32],
        from: Near,
        width: usize,
        at: usize,
    ) -> Vec<Near> {
        let mut seen = Bits::none(units.n_rows());
        seen.insert(from.row as usize);
        let mut open = BinaryHeap::from([from]);
        let mut kept = BinaryHeap::from([Reverse(from)]);
        while let Some(next) = open.pop() {
            if kept.len() >= width && kept.peek().is_some_and(|Reverse(worst)| next < *worst) {
                break;
            }
            for row in self.neighbours(next.row, at) {
                if !seen.insert(row as usize) {
                    continue;
                }
                let near = units.near(question, row);
                let is_good =
                    kept.len() < width || kept.peek().is_some_and(|Reverse(worst)| near > *worst);
                if is_good {
                    open.push(near);
                    kept.push(Reverse(near));
                    if kept.len() > width {
                        kept.pop();
                    }
                }
            }
        }
        kept.into_sorted_vec().into_iter().map(|Reverse(near)| near).collect()
    }

    /// About the `width` nearest rows, best first.
    pub(super) fn search(&self, units: Units<'_>, question: &[f32], width: usize) -> Vec<Near> {
        let from = self.descend(units, question, 0);
        self.search_floor(units, question, from, width, 0)
    }
}

/// A row's highest floor: one row in `M` reaches the next.
fn floor_of(dice: u64) -> usize {
    // 53 bits are what an f64 holds.
    let even = ((dice >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    ((-even.ln() / (M as f64).ln()) as usize).min(12)
}

/// Of rows with the best first those that lie in different directions: one that
/// is nearer to a chosen one than to the centre is reached through that.
fn choose(units: Units<'_>, near: &[Near], most: usize) -> Vec<Near> {
    let mut chosen: Vec<Near> = Vec::with_capacity(most);
    for candidate in near {
        if chosen.len() == most {
            break;
        }
        let vector = units.of(candidate.row);
        if chosen.iter().all(|other| dot(vector, units.of(other.row)) < candidate.score) {
            chosen.push(*candidate);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const N_DIMENSIONS: usize = 24;

    /// Rows round centres, as embeddings of texts on some subjects are.
    fn rows(n: usize, seed: u64) -> Vec<f32> {
        let mut dice = seed;
        let mut throw = move || {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (dice >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
        };
        let centres: Vec<f32> = (0..20 * N_DIMENSIONS).map(|_| throw()).collect();
        let mut units = Vec::new();
        for row in 0..n {
            let at = row % 20 * N_DIMENSIONS;
            let near = centres[at..at + N_DIMENSIONS].iter();
            let vector: Vec<f32> = near.map(|x| x + throw() * 0.7).collect();
            extend_unit(&mut units, &vector);
        }
        units
    }

    #[test]
    fn a_graph_finds_nearly_all_that_sorting_finds_and_the_same_each_time() {
        let all = rows(600, 7);
        let units = Units { all: &all, n_dimensions: N_DIMENSIONS };
        let build = || Graph::build(units, || true).unwrap();
        let (graph, again) = (build(), build());
        assert_eq!(graph.ground, again.ground);
        assert!(graph.is_good(units, 128) && Graph::build(units, || false).is_none());
        let questions = rows(40, 99);
        let mut n_same = 0;
        for question in questions.chunks_exact(N_DIMENSIONS) {
            let mut exact: Vec<Near> = (0..600).map(|row| units.near(question, row)).collect();
            exact.sort_by(|a, b| b.cmp(a));
            let found = graph.search(units, question, 128);
            assert!(found.is_sorted_by(|a, b| a >= b) && found.len() == 128);
            n_same += exact[..10].iter().filter(|near| found[..10].contains(near)).count();
        }
        assert!(n_same >= 390, "{n_same} of 400 are found");
    }

    #[test]
    fn few_rows_and_equal_rows_are_no_trouble() {
        for n in [1, 2, 40] {
            let all = [1.0_f32, 0.0].repeat(n);
            let units = Units { all: &all, n_dimensions: 2 };
            let found = Graph::build(units, || true).unwrap().search(units, &[1.0, 0.0], 10);
            assert!(!found.is_empty() && found.len() <= 10, "{n}: {found:?}");
        }
    }
}
