//! The verbs: which parts each runs and which limits it claims. They must never measure anything themselves.

pub mod ack;
pub mod floor;
pub mod hosts;
pub mod load;
pub mod node;
pub mod read;
pub mod restart;
pub mod soak;
