//! The model: ids, errors, limits, topic settings and the record batch, as pure values.
//! Bytes and values in, bytes and values out; never a clock, a file, a socket or chance.
#![forbid(unsafe_code)]

pub mod batch;
pub mod error;
pub mod ids;
pub mod limits;
pub mod partitioner;
pub mod records;
pub mod topic;

pub use error::{Code, Error, Kind, Result};
pub use ids::*;
