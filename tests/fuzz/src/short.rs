//! The short run: the same inputs in the same order each time, whatever the clock says.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Damaged inputs that each target is given beside its seeds.
const N_DAMAGED: usize = 400;
/// Longest input that is made; a seed may be longer.
const MAX_BYTES: usize = 4096;
/// Bytes and texts that mean something to one format or another.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xc3",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"{{",
    b"}}",
    b"<",
    b">",
    b"&",
    b";",
    b":",
    b",",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"\xff\xff\xff\xff",
    b"null",
    b"\xf0\x9f\xa6\x8a",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"--",
    b"=",
];

/// Gives the target an empty input, every seed, and seeds that were damaged.
///
/// # Panics
/// As the target does, after it has said what input did it.
pub fn try_all(seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let mut random = Random(0x5eed);
    try_one(&[], &target);
    seeds.iter().for_each(|seed| try_one(seed, &target));
    for _ in 0..N_DAMAGED {
        try_one(&random.input(seeds), &target);
    }
}

fn try_one(input: &[u8], target: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("the input was b\"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

/// `SplitMix64`, which needs no more state than this.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, or 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A range within so many bytes.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = (length - start).min(64);
        start..start + self.below(most + 1)
    }

    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match seeds.get(self.below(seeds.len() + 1)) {
            Some(seed) => seed.clone(),
            None => (0..self.below(300)).map(|_| self.next() as u8).collect(),
        };
        for _ in 0..1 + self.below(6) {
            self.damage(&mut input, seeds);
        }
        input.truncate(MAX_BYTES.max(seeds.iter().map(Vec::len).max().unwrap_or(0)));
        input
    }

    fn damage(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(7) {
            0 => input.truncate(at),
            1 => drop(input.drain(self.range(input.len()))),
            2 => {
                let piece = PIECES[self.below(PIECES.len())];
                input.splice(at..at, piece.iter().copied());
            }
            3 => {
                let copied = input[self.range(input.len())].to_vec();
                let again = 1 + self.below(20);
                input.splice(at..at, copied.repeat(again));
            }
            4 => {
                let Some(other) = seeds.get(self.below(seeds.len())) else { return };
                let taken = &other[self.range(other.len())];
                input.splice(at..at, taken.iter().copied());
            }
            _ => {
                let byte = self.next() as u8;
                if let Some(place) = input.get_mut(at) {
                    *place = byte;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn tried(seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let all = RefCell::new(Vec::new());
        try_all(seeds, |input| all.borrow_mut().push(input.to_vec()));
        all.into_inner()
    }

    #[test]
    fn every_run_tries_the_same_inputs_and_all_seeds_are_among_them() {
        let seeds = [b"one".to_vec(), vec![7; 9000]];
        let first = tried(&seeds);
        assert_eq!(first, tried(&seeds));
        assert_eq!(first.len(), 1 + seeds.len() + N_DAMAGED);
        assert_eq!(first[1..3], seeds);
        assert!(first.iter().filter(|input| !seeds.contains(input)).count() > N_DAMAGED / 2);
        assert!(first.iter().all(|input| input.len() <= 9000));
        assert_eq!(tried(&[]).len(), 1 + N_DAMAGED);
    }

    #[test]
    #[should_panic(expected = "seven")]
    fn a_target_that_panics_fails() {
        try_all(&[b"7".to_vec()], |input| assert!(input != b"7", "seven"));
    }
}
