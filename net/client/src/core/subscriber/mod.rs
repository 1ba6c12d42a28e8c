//! The subscriber's core: which partitions are read from where, how much may be pushed, and the records that came. A
//! `Part` is one partition's state; the engine routes parts over a session.

mod engine;
mod open;
mod part;
mod settings;

pub use engine::{Read, SubscriberEngine};
pub use settings::{OutOfRange, Start, SubscriberSettings};
