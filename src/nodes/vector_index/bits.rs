//! A set of rows.

/// One bit for each row of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bits {
    words: Vec<u64>,
    n_rows: usize,
}

impl Bits {
    /// No row of `n_rows`.
    pub fn none(n_rows: usize) -> Self {
        Self { words: vec![0; n_rows.div_ceil(64)], n_rows }
    }

    /// The set that [`Self::to_bytes`] wrote; `None` when the bytes are of
    /// another length or name rows that are not there.
    pub fn from_bytes(bytes: &[u8], n_rows: usize) -> Option<Self> {
        if bytes.len() != n_rows.div_ceil(64) * 8 {
            return None;
        }
        let (words, _) = bytes.as_chunks::<8>();
        let bits =
            Self { words: words.iter().map(|word| u64::from_le_bytes(*word)).collect(), n_rows };
        let beyond = n_rows % 64;
        let is_sound = beyond == 0 || bits.words.last().is_none_or(|last| last >> beyond == 0);
        is_sound.then_some(bits)
    }

    /// The set as bytes, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Puts a row in; whether it was not there.
    pub fn insert(&mut self, row: usize) -> bool {
        debug_assert!(row < self.n_rows, "row {row} of {}", self.n_rows);
        let Some(word) = self.words.get_mut(row / 64) else { return false };
        let bit = 1 << (row % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Whether a row is there.
    pub fn contains(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// Rows that are there.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Leaves what is in both.
    pub fn intersect(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }
}
