//! Fuzzing: bytes of strangers against every parser, damaged files against every recovery. Stable Rust, one seed,
//! the same run each time. A target may refuse, and must neither panic, nor take memory that only a length field
//! promised, nor forget the time, nor show what was never written.
//!
//! - `cargo test -p flumen-fuzz` replays the corpus and tries a fixed number of inputs on each target.
//! - `flumen-fuzz --seconds 600` goes on for longer; a finding is saved as `corpus/<target>/found-<crc>` and stays
//!   there as a test once it is fixed.
//! - `flumen-fuzz --make-corpus` writes the seeds again with the encoders of today, after a change of format.
#![forbid(unsafe_code)]

pub mod chance;
pub mod corpus;
pub mod mend;
pub mod mutate;
pub mod run;
pub mod seeds;
pub mod targets;
pub mod witness;
