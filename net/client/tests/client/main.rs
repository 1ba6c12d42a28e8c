//! Tests of the client against a node made of values: over pipes of bytes for the cores, over loopback for the faces.
#![forbid(unsafe_code)]
// All of it is tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod faces;
mod golden;
mod node;
mod producer;
mod purity;
mod server;
mod subscriber;
mod world;
