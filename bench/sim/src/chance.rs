//! The simulator's chance: SplitMix64 (Steele, Lea, Flood, 2014), a stream of its own for each who draws, so that one
//! client more or less moves nobody else's draws. Never for secrets.

/// A stream of numbers that seed and salt decide.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed and a salt.
    pub fn of(seed: u64, salt: u64) -> Chance {
        let mut chance =
            Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95));
        chance.next();
        chance
    }

    /// 64 bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number under `end`; 0 when there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Whether something happens that happens `times` in `of`.
    pub fn one_in(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    /// Often small, at times large: each doubling is as likely as the next.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let doublings = (high / low.max(1)).max(1).ilog2();
        let top = low.max(1) << self.below(u64::from(doublings) + 1);
        self.between(low, top.min(high))
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_have_nothing_to_do_with_each_other_and_repeat() {
        let draw = |salt| {
            let mut chance = Chance::of(7, salt);
            (0..8).map(|_| chance.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut chance = Chance::of(1, 1);
        for _ in 0..10_000 {
            assert!((5..=9).contains(&chance.between(5, 9)));
            assert!((10..=60_000).contains(&chance.skewed(10, 60_000)));
            assert_eq!(chance.below(0), 0);
        }
    }
}
