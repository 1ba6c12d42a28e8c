//! Time as the core knows it: a distance from a start that the face chose. Only faces read clocks.

use std::time::Duration;

/// A moment, as its distance from the start of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Duration);

impl Moment {
    /// The moment that much later.
    pub fn plus(self, wait: Duration) -> Moment {
        Moment(self.0.saturating_add(wait))
    }

    /// How long until `later`; zero when that is past.
    pub fn until(self, later: Moment) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

/// The earlier of two moments that may not be set.
pub(crate) fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
