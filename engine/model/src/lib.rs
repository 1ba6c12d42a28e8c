//! The model: ids, errors, limits, topic settings and the record batch, as pure values.
//! Bytes and values in, bytes and values out; never a clock, a file, a socket or chance.
#![forbid(unsafe_code)]

pub mod batch;
mod compression;
pub mod copy;
pub mod error;
#[doc(hidden)]
pub mod fuzz_targets;
pub mod ids;
pub mod limits;
pub mod partitioner;
pub mod records;
pub mod topic;
mod varint;

pub use error::{Code, Error, Kind, Result};
pub use ids::*;
