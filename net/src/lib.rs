//! The native protocol on a node: connections, the requests on them, pushes and the acceptor. It turns frames into
//! calls of the engine and results into frames; it decides nothing about records, and reaches sockets only through
//! the host seam.
#![forbid(unsafe_code)]

mod acceptor;
mod connection;
mod handlers;
mod linger;
mod outgoing;
mod push;
mod reader;
mod server;

pub use acceptor::{Acceptor, Handoff};
pub use server::{Server, ServerStatus};
