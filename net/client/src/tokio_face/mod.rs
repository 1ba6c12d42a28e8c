//! The tokio face: futures over the same core. Calls write to the socket themselves, so that nothing stands between a
//! call and its write; one task for each connection reads, and one keeps the time. Works on a current-thread runtime.

mod admin;
mod client;
mod connection;
mod delivery;
mod producer;
mod shared;
mod subscriber;

pub use admin::Admin;
pub use client::Client;
pub use delivery::Delivery;
pub use producer::Producer;
pub use subscriber::Subscriber;
