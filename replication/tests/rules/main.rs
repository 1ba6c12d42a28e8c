//! The eighteen rules that a driver of `raft` 0.7.0 must keep, each at least one test, with small rings of
//! drivers. They must stay as they are: each was learnt from a panic, a stuck group or a divergence.

#[path = "../common/mod.rs"]
mod common;
mod log;
mod protocol;
