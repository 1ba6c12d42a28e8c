//! An idempotent batch's place in its producer's sequence, and arithmetic on sequences. Sequences count records from
//! 0 to `i32::MAX` and then from 0 again; nothing here ever compares two of them with `<`.

use flumen_model::batch::BatchView;
use flumen_model::{Code, Error, Offset, ProducerId, Result, UnixMillis};

/// How many sequences there are before they begin again.
const SEQUENCES: i64 = 1 << 31;

/// What a record batch's header says about its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSequence {
    /// The producer's id. Batches without one (−1) have no sequence and never come here.
    pub producer: ProducerId,
    /// The producer's epoch, from 0.
    pub epoch: i16,
    /// The sequence of the first record, from 0.
    pub base_sequence: i32,
    /// How many offsets and sequences the batch spans: last offset delta + 1.
    pub count: u32,
}

impl BatchSequence {
    /// The place of a batch; `None` when no producer's sequence counts it: it has no producer, or it is a control batch.
    pub fn of(batch: &BatchView<'_>) -> Option<BatchSequence> {
        let producer = batch.producer_id().filter(|_| !batch.is_control())?;
        Some(BatchSequence {
            producer,
            epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            count: batch.last_offset_delta().saturating_add(1),
        })
    }

    /// The sequence of the last record.
    pub fn last_sequence(&self) -> i32 {
        ahead(self.base_sequence, self.count.saturating_sub(1))
    }

    /// Refuses what no producer sends: a negative id, epoch or sequence, or an impossible count
    /// (Kafka's `LogValidator`).
    pub(super) fn validate(&self) -> Result<()> {
        let whole = self.producer.0 >= 0
            && self.epoch >= 0
            && self.base_sequence >= 0
            && (1..=i32::MAX as u32).contains(&self.count);
        if whole {
            return Ok(());
        }
        Err(Error::new(
            Code::InvalidBatch,
            format!(
                "a batch of producer {} has epoch {}, base sequence {} and {} records: all must be there and none negative",
                self.producer, self.epoch, self.base_sequence, self.count
            ),
        ))
    }
}

/// A batch that a producer's memory keeps, so that its repeat is answered with the first answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptBatch {
    /// The sequence of its first record.
    pub first_sequence: i32,
    /// Its last offset less its first; the same distance lies between its sequences.
    pub last_offset_delta: u32,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// Its maximum timestamp, or the append time where the topic stamps it.
    pub timestamp: UnixMillis,
}

impl KeptBatch {
    /// The memory of a batch that was given `base_offset`.
    pub(super) fn new(sequence: &BatchSequence, base_offset: Offset, timestamp: UnixMillis) -> KeptBatch {
        assert!(sequence.validate().is_ok(), "only batches that were checked are appended: {sequence:?}");
        KeptBatch {
            first_sequence: sequence.base_sequence,
            last_offset_delta: sequence.count - 1,
            base_offset,
            timestamp,
        }
    }

    /// The sequence of its last record.
    pub fn last_sequence(&self) -> i32 {
        ahead(self.first_sequence, self.last_offset_delta)
    }

    /// The offset of its last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(u64::from(self.last_offset_delta))
    }

    /// The sequence that the producer's next batch begins with.
    pub(super) fn next_sequence(&self) -> i32 {
        ahead(self.last_sequence(), 1)
    }

    /// Whether `sequence` has exactly this batch's first and last sequence: Kafka's definition of a repeat.
    pub(super) fn is_repeated_by(&self, sequence: &BatchSequence) -> bool {
        self.first_sequence == sequence.base_sequence && self.last_sequence() == sequence.last_sequence()
    }
}

/// The sequence `records` further on.
fn ahead(sequence: i32, records: u32) -> i32 {
    ((i64::from(sequence) + i64::from(records)) % SEQUENCES) as i32
}

/// How many records `sequence` lies behind `from`, taken the short way back.
pub(super) fn behind(from: i32, sequence: i32) -> u32 {
    (i64::from(from) - i64::from(sequence)).rem_euclid(SEQUENCES) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_begin_again_at_zero_after_the_largest() {
        assert_eq!(ahead(i32::MAX, 1), 0);
        assert_eq!(ahead(i32::MAX - 1, 3), 1);
        assert_eq!(ahead(5, 0), 5);
        assert_eq!(behind(0, i32::MAX), 1);
        assert_eq!(behind(7, 7), 0);
        assert_eq!(behind(7, 8), i32::MAX as u32);
    }

    #[test]
    fn a_repeat_has_the_same_first_and_last_sequence() {
        let sequence =
            BatchSequence { producer: ProducerId(1), epoch: 0, base_sequence: i32::MAX - 1, count: 4 };
        let kept = KeptBatch::new(&sequence, Offset(9), UnixMillis(0));
        assert_eq!((kept.last_sequence(), kept.next_sequence(), kept.last_offset()), (1, 2, Offset(12)));
        assert!(kept.is_repeated_by(&sequence));
        assert!(!kept.is_repeated_by(&BatchSequence { count: 3, ..sequence }));
        assert!(!kept.is_repeated_by(&BatchSequence { base_sequence: 0, ..sequence }));
    }
}
