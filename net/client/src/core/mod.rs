//! The client without a machine: bytes, values and moments in, bytes and events out. Both faces and the simulator
//! run the same code. Never a clock, a socket, a thread or a runtime: a test reads these files to keep it so.

pub mod admin;
mod agenda;
pub(crate) mod calls;
mod chance;
pub mod connection;
mod link;
pub mod moment;
pub mod outgoing;
pub mod producer;
mod receive;
mod routes;
pub mod session;
pub mod subscriber;

pub use calls::CallId;
