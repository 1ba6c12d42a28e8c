//! The client without a machine: bytes, values and moments in, bytes and events out. Both faces and the simulator
//! run the same code. Never a clock, a socket, a thread or a runtime: a test reads these files to keep it so.

mod calls;
mod chance;
pub mod connection;
mod link;
pub mod moment;
pub mod outgoing;
mod receive;
mod routes;
pub mod session;
