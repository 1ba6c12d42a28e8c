//! Gives a finished batch another place in its producer's sequence. Rare: only after a batch before it was given up.

use bytes::{Bytes, BytesMut};
use flumen_model::batch::Sequence;
use std::ops::Range;

// Places in Kafka's batch header; see `flumen_model::batch`.
const CRC: Range<usize> = 17..21;
const CRC_STARTS: usize = 21;
const PRODUCER_ID: Range<usize> = 43..51;
const PRODUCER_EPOCH: Range<usize> = 51..53;
const BASE_SEQUENCE: Range<usize> = 53..57;

/// A copy of the batch with this sequence and its checksum.
///
/// # Panics
/// When `batch` is shorter than a header: it was built here.
pub(crate) fn restamp(batch: &Bytes, sequence: Sequence) -> Bytes {
    let mut copy = BytesMut::from(&batch[..]);
    copy[PRODUCER_ID].copy_from_slice(&sequence.producer_id.0.to_be_bytes());
    copy[PRODUCER_EPOCH].copy_from_slice(&sequence.producer_epoch.to_be_bytes());
    copy[BASE_SEQUENCE].copy_from_slice(&sequence.base_sequence.to_be_bytes());
    let crc = crc32c::crc32c(&copy[CRC_STARTS..]);
    copy[CRC].copy_from_slice(&crc.to_be_bytes());
    copy.freeze()
}

/// The sequence `records` further on; it wraps from `i32::MAX` to 0.
pub(crate) fn ahead(sequence: i32, records: u32) -> i32 {
    sequence.wrapping_add(records as i32) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumen_model::batch::{BatchBuilder, Compression, validate_produced};
    use flumen_model::{ProducerId, UnixMillis};

    fn batch(sequence: Sequence) -> Bytes {
        let mut builder = BatchBuilder::new(1000, Compression::None).unwrap();
        builder.append(UnixMillis(5), Some(b"key"), Some(b"value"), &[]).unwrap();
        builder.set_sequence(sequence);
        builder.finish()
    }

    #[test]
    fn a_restamped_batch_is_the_batch_that_would_have_been_built() {
        let before = Sequence { producer_id: ProducerId(7), producer_epoch: 0, base_sequence: 3 };
        let after = Sequence { producer_id: ProducerId(1 << 40), producer_epoch: 2, base_sequence: i32::MAX };
        let restamped = restamp(&batch(before), after);
        assert_eq!(restamped, batch(after));
        validate_produced(&restamped, 1000).unwrap();
    }

    #[test]
    fn sequences_begin_again_at_zero() {
        assert_eq!((ahead(i32::MAX, 1), ahead(i32::MAX - 1, 3), ahead(4, 5)), (0, 1, 9));
    }
}
