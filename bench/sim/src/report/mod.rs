//! What a run tells: counts, stories, and the smallest failing case. Decides nothing about right and wrong.

mod shrink;
mod stats;
mod story;
mod ways;

pub use shrink::{Shrunk, shrink};
pub use stats::Stats;
pub use story::Story;
pub(crate) use ways::counted;
