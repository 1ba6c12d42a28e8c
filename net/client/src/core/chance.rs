//! The client's chance, from a seed, and the waits between tries that it jitters. The same seed gives the same waits.

use crate::settings::Settings;
use std::time::Duration;

/// A stream of random numbers (Steele, Lea, Flood: SplitMix64). For jitter, not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Waits that double up to a bound, each cut by up to a half so that clients do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    tries: u32,
}

/// Doublings beyond this do not change a bounded wait.
const DOUBLINGS_MAX: u32 = 20;

impl Backoff {
    pub(crate) fn new(settings: &Settings) -> Backoff {
        Backoff { min: settings.backoff_min, max: settings.backoff_max.max(settings.backoff_min), tries: 0 }
    }

    /// The wait before the next try.
    pub(crate) fn wait(&mut self, chance: &mut Chance) -> Duration {
        let whole = self.min.saturating_mul(1 << self.tries.min(DOUBLINGS_MAX)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        let half_micros = (whole.as_micros() / 2) as u64;
        whole - Duration::from_micros(chance.next() % (half_micros + 1))
    }

    /// It worked: begin again with the shortest wait.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound_and_keep_at_least_half() {
        let settings = Settings::default();
        let (mut backoff, mut chance) = (Backoff::new(&settings), Chance::new(1));
        for doubling in 0..40 {
            let whole = (settings.backoff_min * (1 << doubling.min(10))).min(settings.backoff_max);
            let wait = backoff.wait(&mut chance);
            assert!(whole / 2 <= wait && wait <= whole, "{doubling}: {wait:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.wait(&mut chance) <= settings.backoff_min);
    }

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        let waits = |seed| {
            let (mut backoff, mut chance) = (Backoff::new(&Settings::default()), Chance::new(seed));
            (0..20).map(|_| backoff.wait(&mut chance)).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
