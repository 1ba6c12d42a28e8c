//! The host seam: a node's only door to the machine. Files, streams, timers, tasks, cores and the clock, behind
//! traits that a real host and a simulated one both keep. Only this crate names glommio or io-uring, reads
//! clocks or holds `unsafe`; it decides nothing about logs, partitions or protocols.

mod check;
#[cfg(test)]
mod contract;
pub mod glommio_host;
pub mod local;
#[cfg(test)]
mod local_tests;
pub mod mem;
pub mod seam;

pub use seam::*;
