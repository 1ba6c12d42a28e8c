//! Floors, loads and reports: what the machine can do, what the product does on it, and the two side by side. The
//! verbs of `flumen bench` stand here as a library; the binary brings the hosts. Outside a node, so it may use
//! clocks, threads and blocking calls; it must never be used by one.
#![deny(unsafe_code)]

pub mod args;
pub mod drive;
mod fault;
pub mod floor;
pub mod limit;
pub mod measure;
pub mod plan;
pub mod profile;
pub mod report;
mod run;
pub mod subject;
mod sys;
pub mod verbs;

pub use args::BenchArgs;
pub use floor::{HostEntry, Place};
pub use run::{World, deliver, run, run_verb};
