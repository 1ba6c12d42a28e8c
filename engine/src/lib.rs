//! Shards, partitions, metadata and positions.
#![forbid(unsafe_code)]
