//! What is measured and how it is judged: histograms, figures, interleaved rounds, claims, accounts. Pure except
//! for [`accounts`], which reads counters of the kernel. It must never know what the parts do.

pub mod accounts;
pub mod claim;
pub mod figures;
pub mod histogram;
pub mod journal;
pub mod rounds;
pub mod spread;
pub mod stalls;

pub use accounts::{Account, Watch};
pub use claim::{Claim, Sense, Verdict};
pub use figures::{Figures, Ratios};
pub use histogram::{Histogram, Point};
pub use journal::{JournalTurns, ServerCounters};
pub use rounds::{Part, Sample, Series, run_rounds};
pub use spread::Spread;
pub use stalls::{Event, Stall, Stalls};
