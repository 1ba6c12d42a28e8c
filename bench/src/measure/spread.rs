//! A median and how far the rounds lie apart. It must never hide the extremes.

use super::histogram::round;
use serde::{Deserialize, Serialize};

/// One value of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest round.
    pub min: f64,
    /// The median round.
    pub median: f64,
    /// The largest round.
    pub max: f64,
}

impl Spread {
    /// The spread of the rounds' values; `None` without rounds. Values that are not numbers are a bug.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Spread { min: round(min, 1e4), median: round(median, 1e4), max: round(max, 1e4) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_round_moves_the_extremes_but_not_the_median() {
        let spread = Spread::of([1.0, 1.1, 900.0, 1.2, 0.9]).unwrap();
        assert_eq!(spread, Spread { min: 0.9, median: 1.1, max: 900.0 });
    }

    #[test]
    fn an_even_number_of_rounds_takes_the_middle_of_the_two() {
        assert_eq!(Spread::of([4.0, 2.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of([]), None);
    }
}
