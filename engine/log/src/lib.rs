//! Journal, segments, recovery: what makes a record durable.
#![forbid(unsafe_code)]
