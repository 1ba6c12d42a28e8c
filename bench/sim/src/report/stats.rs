//! Counts by name: what clients did, what broke, which ways recovery took.

use std::collections::BTreeMap;
use std::fmt;

/// What begins with this is the largest of its values, not their sum.
const MOST: &str = "most: ";

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// Something happened so often.
    pub fn count(&mut self, what: &str, times: u64) {
        if times == 0 {
            return;
        }
        match self.0.get_mut(what) {
            Some(count) => *count += times,
            None => drop(self.0.insert(what.to_string(), times)),
        }
    }

    /// Something was at most so much. Its name begins with `MOST`, so that sums keep the largest.
    pub fn most(&mut self, what: &str, value: u64) {
        let most = self.0.entry(format!("{MOST}{what}")).or_default();
        *most = value.max(*most);
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Stats) {
        for (what, value) in &other.0 {
            match what.strip_prefix(MOST) {
                Some(what) => self.most(what, *value),
                None => self.count(what, *value),
            }
        }
    }

    /// How often something happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// All that begins with a word, without it.
    pub fn beginning<'a>(&'a self, with: &'a str) -> impl Iterator<Item = (&'a str, u64)> + 'a {
        self.0.iter().filter_map(move |(what, times)| Some((what.strip_prefix(with)?, *times)))
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.0 {
            writeln!(f, "  {what:<44} {times:>12}")?;
        }
        Ok(())
    }
}
