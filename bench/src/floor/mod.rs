//! Floors: the least that a durable ack, a stream of bytes or a round trip can cost on this machine, measured with
//! blocking calls and with the node's host but none of its engine. It must never use anything of log or net.

pub mod aligned;
pub mod blocking;
pub mod client;
pub mod disk;
pub mod host;
pub mod host_server;
pub mod loopback;
pub mod scratch;
pub mod stage;

pub use host::{HostEntry, Place};
pub use stage::{FileSizes, Pins, Stage};

/// Payload of a request, as in every figure of the house.
pub const REQUEST_BYTES: usize = 256;
/// An answer: an offset, a correlation id and a little more.
pub const ANSWER_BYTES: usize = 32;
/// Requests in flight of the pipelined floor.
pub const WINDOW: u64 = 256;

#[cfg(test)]
#[path = "floor_tests.rs"]
mod tests;
