//! A coarse copy of a segment's rows, one byte a number: it tells how near a
//! row can be at most, so that the exact search reads few rows in full.
//!
//! Nothing is lost by it. A row `u` is kept as `c`, so that `u = c + e`, and the
//! question `q` as `p`, so that `q = p + f`; then `q·u = p·c + p·e + f·u`, where
//! `|p·e| <= |p||e|` and `|f·u| <= |f||u|` (Cauchy and Schwarz).

/// The byte of a zero; a row's largest number lies 127 from it.
const ZERO: i32 = 128;
const MAX_CODE: f32 = 127.0;
/// The longest that a vector of "length 1" in f32 may be.
const MAX_UNIT: f64 = 1.0 + 1e-5;
/// What f64 and the norms kept in f32 may be off by.
const SLACK: f64 = 1e-6;

/// Rows that were coded.
#[derive(Debug, Default)]
pub(super) struct Codes {
    codes: Vec<u8>,
    rows: Vec<Coded>,
}

/// What one row's codes mean.
#[derive(Debug, Clone, Copy)]
struct Coded {
    /// What a step from one code to the next is worth.
    step: f32,
    /// Length of what the codes leave out, rounded up.
    rest: f32,
}

impl Codes {
    /// With room for `n_rows` of `n_dimensions`.
    pub(super) fn with_capacity(n_rows: usize, n_dimensions: usize) -> Self {
        let codes = Vec::with_capacity(n_rows.saturating_mul(n_dimensions));
        Self { codes, rows: Vec::with_capacity(n_rows) }
    }

    /// Adds a row of length 1 or 0.
    pub(super) fn push(&mut self, unit: &[f32]) {
        let largest = unit.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let step = largest / MAX_CODE;
        let code = |x: &f32| {
            let steps = if step > 0.0 { (x / step).round() } else { 0.0 };
            (ZERO + steps as i32).clamp(0, 255) as u8
        };
        let first = self.codes.len();
        self.codes.extend(unit.iter().map(code));
        let value = |code: &u8| f64::from(i32::from(*code) - ZERO) * f64::from(step);
        let left_out = unit.iter().zip(&self.codes[first..]);
        let squares: f64 = left_out.map(|(x, code)| (f64::from(*x) - value(code)).powi(2)).sum();
        self.rows.push(Coded { step, rest: (squares.sqrt() * MAX_UNIT) as f32 });
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.codes.shrink_to_fit();
        self.rows.shrink_to_fit();
    }

    /// About the memory that they take.
    pub(super) fn n_bytes(&self) -> usize {
        self.codes.len() + self.rows.len() * size_of::<Coded>()
    }

    /// What the scalar product of the question and a row can be at most.
    pub(super) fn at_most(&self, question: &Question, row: usize) -> f64 {
        let n = question.codes.len();
        let Coded { step, rest } = self.rows[row];
        let product = product(&question.codes, &self.codes[row * n..(row + 1) * n]);
        let product = f64::from(product - question.of_zeros) * f64::from(step) * question.step;
        product + f64::from(rest) * question.length + question.rest
    }
}

/// A question of length 1, coded more finely than rows are.
#[derive(Debug, Clone)]
pub(super) struct Question {
    codes: Vec<i16>,
    step: f64,
    /// The product with a row of zeros.
    of_zeros: i32,
    /// Length of what is coded.
    length: f64,
    /// What its own coding and the rounding of the exact product are worth.
    rest: f64,
}

impl Question {
    pub(super) fn of(unit: &[f32]) -> Self {
        let largest = unit.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let scale = if largest > 0.0 { max_code(unit.len()) / f64::from(largest) } else { 0.0 };
        let step = if scale > 0.0 { scale.recip() } else { 0.0 };
        let code = |x: &f32| (f64::from(*x) * scale).round() as i16;
        let codes: Vec<i16> = unit.iter().map(code).collect();
        let (mut squares, mut left_out) = (0.0, 0.0);
        for (x, code) in unit.iter().zip(&codes) {
            let value = f64::from(*code) * step;
            squares += value * value;
            left_out += (f64::from(*x) - value).powi(2);
        }
        // A sum of n products in f32 is off by n roundings at most.
        let rounding = unit.len() as f64 * f64::from(f32::EPSILON);
        Self {
            of_zeros: codes.iter().map(|code| i32::from(*code) * ZERO).sum(),
            length: squares.sqrt() + SLACK,
            rest: left_out.sqrt() * MAX_UNIT + rounding + SLACK,
            codes,
            step,
        }
    }
}

/// The largest code of a question: no sum of products with bytes leaves an i32.
fn max_code(n_dimensions: usize) -> f64 {
    let most = i32::MAX as usize / (256 * n_dimensions.max(1));
    most.min(i16::MAX as usize) as f64
}

/// By itself and as plain as this, so that the compiler makes vector instructions of
/// it: inlined or with sums of its own it was scalar, and four times as slow.
#[inline(never)]
fn product(question: &[i16], codes: &[u8]) -> i32 {
    question.iter().zip(codes).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scan::{dot, unit};
    use super::*;

    fn coded(row: &[f32]) -> Codes {
        let mut codes = Codes::with_capacity(1, row.len());
        codes.push(row);
        codes
    }

    #[test]
    fn the_bound_lies_close_above_what_it_bounds() {
        let row = |seed: f32| unit(&(0..384).map(|n| (n as f32 * seed).sin()).collect::<Vec<_>>());
        let (question, row) = (row(0.7), row(0.701));
        let most = coded(&row).at_most(&Question::of(&question), 0);
        let exact = f64::from(dot(&question, &row));
        assert!(most >= exact && most < exact + 0.01, "{exact} is said to be at most {most}");
    }

    #[test]
    fn the_longest_vectors_do_not_overflow() {
        for n in [1, 384, 3_072, 65_536, 9_000_000] {
            let all = unit(&vec![1.0; n]);
            let most = coded(&all).at_most(&Question::of(&all), 0);
            let exact = f64::from(dot(&all, &all));
            assert!(most >= exact, "{n}: {exact} is said to be at most {most}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_row_is_nearer_than_the_bound_says(
            pairs in proptest::collection::vec((-1e3_f32..1e3, -1e3_f32..1e3), 0..80),
            scale in -44_i32..30, lone in -1e6_f32..1e6,
        ) {
            let (mut question, mut row): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            question.push(lone);
            row.push(lone / 3.0);
            row.iter_mut().for_each(|x| *x *= 10_f32.powi(scale));
            let (question, row) = (unit(&question), unit(&row));
            let codes = coded(&row);
            for other in [&question, &row, &vec![0.0; row.len()]] {
                let most = codes.at_most(&Question::of(other), 0);
                prop_assert!(most >= f64::from(dot(other, &row)), "{most}");
            }
        }
    }
}
