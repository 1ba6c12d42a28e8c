//! How a producer behaves.

use flumen_model::batch::Compression;
use flumen_model::limits::{BATCH_BYTES_HARD_MAX, PRODUCER_BATCHES_KEPT};
use flumen_model::{Code, Error, Result};
use flumen_wire::Acks;
use std::time::Duration;

/// A producer's settings, with Kafka's meaning where Kafka has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSettings {
    /// What an append waits for.
    pub acks: Acks,
    /// Whether the node drops repeats, so that a retry never makes a duplicate and never breaks the order. Needs
    /// acks other than none.
    pub idempotence: bool,
    /// How long a record may wait for others to share its batch. Even with zero, batches fill while as many as may
    /// be are in flight.
    pub linger: Duration,
    /// A batch is closed at this size, before compression. A larger record has one of its own.
    pub batch_bytes: usize,
    /// How batches are compressed.
    pub compression: Compression,
    /// Batches of one partition without an answer. At most 5 with idempotence: the node remembers no more. Without
    /// idempotence, more than 1 lets a retry overtake what was sent before it.
    pub batches_in_flight_max: usize,
    /// Bytes of records that wait for their answers, all partitions together; more records wait for room.
    pub buffer_bytes_max: usize,
}

impl Default for ProducerSettings {
    fn default() -> ProducerSettings {
        ProducerSettings {
            acks: Acks::Quorum,
            idempotence: true,
            linger: Duration::ZERO,
            batch_bytes: 256 * 1024,
            compression: Compression::None,
            batches_in_flight_max: PRODUCER_BATCHES_KEPT,
            buffer_bytes_max: 32 * 1024 * 1024,
        }
    }
}

impl ProducerSettings {
    /// Refuses settings that contradict each other.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = if self.idempotence && self.acks == Acks::None {
            "idempotence needs acks other than none: turn one of them off".to_string()
        } else if self.idempotence && self.batches_in_flight_max > PRODUCER_BATCHES_KEPT {
            format!(
                "with idempotence at most {PRODUCER_BATCHES_KEPT} batches may be in flight: the node remembers no more"
            )
        } else if self.batches_in_flight_max == 0 {
            "at least one batch must be in flight".to_string()
        } else if self.batch_bytes > BATCH_BYTES_HARD_MAX {
            format!("a batch has at most {BATCH_BYTES_HARD_MAX} bytes")
        } else {
            return Ok(());
        };
        Err(Error::new(Code::InvalidSetting, wrong))
    }
}
