//! What a producer's batch must be before the leader takes it: everything that Kafka checks without opening a
//! compressed one. Allocates nothing unless it refuses.

use super::{ATTRIBUTE_DELETE_HORIZON, BatchView, invalid};
use crate::batch::Compression;
use crate::error::{Code, Error, Result};
use crate::records::Records;

/// Checks a batch as a producer sent it: exactly one, sound, within `batch_bytes_max`, with a true checksum, a
/// count that fits its offsets, no bits that only a leader may set, and a sequence when it has a producer id. The
/// records of an uncompressed batch are walked; compressed ones stay closed. The max timestamp is the producer's
/// word either way.
///
/// Source: Kafka's `LogValidator.validateBatch`, `UnifiedLog.analyzeAndValidateRecords`, `ProduceRequest`.
pub fn validate_produced(bytes: &[u8], batch_bytes_max: usize) -> Result<BatchView<'_>> {
    // Before anything else, so that a batch over the house's own limit gets the error that says so.
    if bytes.len() > batch_bytes_max {
        return Err(too_large(bytes.len(), batch_bytes_max));
    }
    let batch = BatchView::parse(bytes)?;
    if batch.total_bytes() != bytes.len() {
        return Err(invalid(format!(
            "the batch has {} bytes but {} came; send exactly one batch for a partition",
            batch.total_bytes(),
            bytes.len()
        )));
    }
    check_offsets(&batch)?;
    check_attributes(&batch)?;
    check_producer(&batch)?;
    batch.check_crc()?;
    if batch.compression() == Compression::None {
        check_records(&batch)?;
    }
    Ok(batch)
}

fn check_offsets(batch: &BatchView<'_>) -> Result<()> {
    if batch.base_offset().0 != 0 {
        return Err(invalid(format!(
            "a producer's batch starts at offset 0, but this one says {}; the leader gives offsets",
            batch.base_offset()
        )));
    }
    if u64::from(batch.record_count()) != u64::from(batch.last_offset_delta()) + 1 {
        return Err(invalid(format!(
            "the batch says {} records but its last offset delta is {}; the count must be one more",
            batch.record_count(),
            batch.last_offset_delta()
        )));
    }
    Ok(())
}

fn check_attributes(batch: &BatchView<'_>) -> Result<()> {
    if batch.is_control() {
        return Err(invalid("clients may not write control batches"));
    }
    if batch.attributes() & ATTRIBUTE_DELETE_HORIZON != 0 {
        return Err(invalid("clients may not set the delete horizon; only compaction does"));
    }
    if batch.is_append_time() {
        return Err(Error::new(
            Code::InvalidTimestamp,
            "clients may not set the append-time bit; the topic's message.timestamp.type decides",
        ));
    }
    Ok(())
}

fn check_producer(batch: &BatchView<'_>) -> Result<()> {
    if batch.producer_id().is_none() {
        return match batch.is_transactional() {
            true => Err(invalid("a transactional batch needs a producer id; call InitProducerId first")),
            false => Ok(()),
        };
    }
    if batch.base_sequence() < 0 || batch.producer_epoch() < 0 {
        return Err(invalid(format!(
            "a batch with a producer id has epoch {} and base sequence {}; both start at 0",
            batch.producer_epoch(),
            batch.base_sequence()
        )));
    }
    Ok(())
}

fn check_records(batch: &BatchView<'_>) -> Result<()> {
    for (place, record) in Records::new(batch, batch.payload()).enumerate() {
        if record?.offset.0 != place as u64 {
            return Err(invalid(format!(
                "record {place} of the batch has another offset delta than its place"
            )));
        }
    }
    Ok(())
}

#[cold]
fn too_large(bytes: usize, batch_bytes_max: usize) -> Error {
    Error::new(
        Code::BatchTooLarge,
        format!(
            "the batch has {bytes} bytes, over the limit of {batch_bytes_max}; send smaller batches or raise max.message.bytes"
        ),
    )
}
