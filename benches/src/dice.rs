//! Made-up data: the same on every machine.

/// A small generator of the xorshift family (Marsaglia 2003). It must not be 0.
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high bits are the good ones.
        (self.number() >> 11) % bound.max(1)
    }

    /// From -1 to 1.
    pub fn throw(&mut self) -> f32 {
        (self.number() >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}
