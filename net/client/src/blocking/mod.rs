//! The blocking face: plain sockets on the caller's thread, for those who count microseconds. No runtime and no
//! thread of its own, so that nothing stands between a call and its write.

mod admin;
mod client;
mod driver;
mod producer;
mod raw;
mod socket;
mod subscriber;

pub use admin::Admin;
pub use client::Client;
pub(crate) use producer::wall_clock;
pub use producer::{Producer, Ticket};
pub use raw::RawConnection;
pub use subscriber::Subscriber;
