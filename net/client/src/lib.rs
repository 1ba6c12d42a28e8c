//! The native client: producer, subscriber and admin, blocking or on tokio, over one core that knows neither. The
//! core never reads a clock or a socket; only the faces do.
#![forbid(unsafe_code)]

pub mod blocking;
pub mod core;
mod record;
mod settings;
mod tokio_face;

pub use flumen_model as model;
pub use flumen_wire as wire;
pub use crate::core::admin::{Subscription, TopicDescription};
pub use crate::core::producer::ProducerSettings;
pub use crate::core::subscriber::{OutOfRange, Start, SubscriberSettings};
pub use record::{Header, NewRecord, Record, RecordMetadata};
pub use settings::Settings;
pub use tokio_face::{Admin, Client, Delivery, Producer, Subscriber};
