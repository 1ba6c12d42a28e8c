//! The native client: producer, subscriber and admin, on tokio or blocking, over one [`core`] that knows neither. The
//! core never reads a clock or a socket; only the faces do.
//!
//! - On tokio: [`Client`], [`Producer`], [`Subscriber`], [`Admin`].
//! - Blocking, for threads that count microseconds: [`blocking::Client`] and its kin, and [`blocking::RawConnection`]
//!   for those who do everything themselves.
//!
//! What a producer promises with idempotence, which is on unless turned off: every record that was acked is in the log
//! once, at the offset that the ack named, in the order of the calls within its partition, whatever connections and
//! nodes did meanwhile. A record that fails with `Timeout` may be in the log or not; any other error says that it is not,
//! unless it was sent before over a connection that was lost.
//!
//! What a subscriber promises: each record of a partition once, in order, without a gap, over all losses of
//! connections. What was read and not committed under the subscription's name comes again after a restart.
//!
//! ```no_run
//! use flumen_client::{Client, NewRecord, ProducerSettings, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> flumen_client::model::Result<()> {
//! let client = Client::new("127.0.0.1:9644", Settings::default());
//! let producer = client.producer(ProducerSettings::default())?;
//! let first = producer.send(NewRecord::to("orders").key("7").value("two apples"));
//! let second = producer.send(NewRecord::to("orders").key("7").value("one pear"));
//! // Both are on their way, in this order; each tells its own fate.
//! assert!(first.await?.offset < second.await?.offset);
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod blocking;
pub mod core;
mod record;
mod settings;
mod tokio_face;

pub use crate::core::admin::{Subscription, TopicDescription};
pub use crate::core::producer::ProducerSettings;
pub use crate::core::subscriber::{OutOfRange, Start, SubscriberSettings};
pub use flumen_model as model;
pub use flumen_wire as wire;
pub use record::{Header, NewRecord, Record, RecordMetadata};
pub use settings::Settings;
pub use tokio_face::{Admin, Client, Delivery, Producer, Subscriber};
