//! The verbs: which parts each runs and which limits it claims. They must never measure anything themselves.

pub mod floor;
pub mod hosts;
