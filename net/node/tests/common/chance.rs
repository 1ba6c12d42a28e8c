//! A small generator, so that a failing seed says everything.

/// Chance from a seed.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(seed: u64, salt: u64) -> Chance {
        Chance(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d,
        )
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Often small, at times large.
    pub(crate) fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let span = ((high / low) as f64).ln();
        (low as f64 * (span * (self.below(10_000) as f64 / 10_000.0)).exp()) as u64
    }
}
