//! Chance for tests that choose their moments and sizes: drawn anew in every run, printed, and drawn again the same
//! when the seed is given. What the machine does between two draws is its own: a seed repeats the choices, not the
//! scheduling.

#![allow(dead_code, unreachable_pub, clippy::print_stderr)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A stream of numbers that look like chance (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The stream of this run: its seed is in the environment variable, or else from the clock. Printed either way.
    pub fn of_run(test: &str, variable: &str) -> Chance {
        let given = std::env::var(variable).ok();
        let seed = given.map_or_else(seed_of_now, |text| text.parse().expect("a seed is a number"));
        eprintln!("{test}: {variable}={seed} chooses the same again");
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A time below so many milliseconds, in microseconds.
    pub fn millis_below(&mut self, millis: u64) -> Duration {
        Duration::from_micros(self.below(millis * 1000))
    }

    /// One of these.
    pub fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    /// A stream of its own for somebody who draws at the same time.
    pub fn fork(&mut self) -> Chance {
        Chance(self.next())
    }
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    Chance(now ^ u64::from(std::process::id()) << 40).next()
}
