//! Load: what a target is, and the two ways to press it. Open (by due time) tells latency under a given load;
//! closed (a window) tells the most it can do. It must never know what the target is.

mod clock;
pub mod closed;
pub mod open;
pub mod target;
pub mod timeline;

pub use closed::{Closed, run_closed, run_count};
pub use open::{Open, OpenRun, run_open};
pub use target::{Sending, Target};
pub use timeline::Timeline;
