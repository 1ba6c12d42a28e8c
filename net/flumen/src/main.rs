//! The one binary: configuration, verbs, assembly. Nothing depends on it.
#![forbid(unsafe_code)]
fn main() {}
