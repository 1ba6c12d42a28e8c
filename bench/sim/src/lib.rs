//! The simulator: whole nodes as shipped (listeners, wire, engine, journal, segments, recovery) over the simulated
//! machine of `flumen_io`, the shipped client cores beside them, and an oracle that knows everything that was sent,
//! acked and read. One thread, one seed; the same seed does the same, byte for byte. It never touches the real machine
//! and never reimplements what it tests.
//!
//! - [`plan`] says what a seed is like, [`scenario`] which faults it meets.
//! - [`run`] lives it: runs of the machine with kills, power losses and restarts between them.
//! - [`face`] drives the client cores over simulated streams; [`load`] is what the clients do.
//! - [`oracle`] judges, one file per promise; [`report`] tells, counts and shrinks.
//! - [`planted`] proves that all of it can fail.
#![forbid(unsafe_code)]

pub mod chance;
pub mod face;
pub mod load;
pub mod oracle;
pub mod payload;
pub mod plan;
pub mod planted;
pub mod report;
pub mod run;
pub mod scenario;
pub mod sim;
