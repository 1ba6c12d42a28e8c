//! The producer's core: records in, batches out, and each record's fate. A `Line` keeps one partition's
//! batches in order; the engine routes lines over a session.

mod engine;
mod flushes;
mod line;
mod settings;
mod stamp;
mod values;

pub use engine::ProducerEngine;
pub use settings::ProducerSettings;
pub use values::{Done, RecordRef};
