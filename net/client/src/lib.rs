//! The native client: producer, subscriber and admin, blocking or on tokio, over one core that knows neither. The
//! core never reads a clock or a socket; only the faces do.
#![forbid(unsafe_code)]

pub mod blocking;
pub mod core;
mod settings;

pub use flumen_model as model;
pub use flumen_wire as wire;
pub use settings::Settings;
