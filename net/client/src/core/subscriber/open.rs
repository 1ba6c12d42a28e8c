//! Opens batches that were pushed: checks them and makes records of them that share their bytes.

use crate::record::{Header, Record};
use bytes::Bytes;
use flumen_model::batch::{BatchView, Batches, Stop};
use flumen_model::limits::BATCH_BYTES_HARD_MAX;
use flumen_model::records::{self, Records};
use flumen_model::{Code, Error, Offset, PartitionNumber, Result};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

/// A batch may grow so much when it is decompressed: enough for text that repeats itself, not for a bomb.
const OPEN_BYTES_MAX: usize = 16 * BATCH_BYTES_HARD_MAX;

/// Checks a run of whole batches: framing and checksums. Tells the offset behind the last.
pub(crate) fn check(run: &Bytes) -> Result<Offset> {
    let mut batches = Batches::new(run);
    let mut next = None;
    for batch in batches.by_ref() {
        batch.check_crc()?;
        next = Some(batch.next_offset());
    }
    match batches.stop() {
        Some(Stop::Malformed(error)) => Err(error.clone()),
        Some(Stop::Partial) => Err(Error::new(Code::InvalidBatch, "the node pushed a batch that is cut off")),
        Some(Stop::End) | None => {
            next.ok_or_else(|| Error::new(Code::InvalidBatch, "the node pushed nothing; a push has a batch"))
        }
    }
}

/// What was in a batch.
pub(crate) struct Opened {
    /// The offset behind it.
    pub(crate) next: Offset,
    /// Its leader's epoch.
    pub(crate) leader_epoch: u32,
    /// Its bytes as they were pushed.
    pub(crate) bytes: usize,
}

/// Takes the first batch off a run and puts its records from `from` on into `out`.
///
/// # Panics
/// When the run has no whole batch: it was checked.
pub(crate) fn open_first(
    run: &mut Bytes,
    from: Offset,
    (topic, partition): (&Arc<str>, PartitionNumber),
    out: &mut VecDeque<Record>,
) -> Result<Opened> {
    let total = BatchView::parse(run).expect("the run was checked when it came").total_bytes();
    let bytes = run.split_to(total);
    let batch = BatchView::parse(&bytes).expect("it was just parsed");
    let leader_epoch = u32::try_from(batch.leader_epoch()).unwrap_or(0);
    let opened = Opened { next: batch.next_offset(), leader_epoch, bytes: total };
    if batch.is_control() || batch.next_offset() <= from {
        return Ok(opened);
    }
    let payload = match records::decompress(&batch, OPEN_BYTES_MAX)? {
        Cow::Borrowed(borrowed) => bytes.slice_ref(borrowed),
        Cow::Owned(owned) => Bytes::from(owned),
    };
    for record in Records::new(&batch, &payload) {
        let record = record?;
        if record.offset < from {
            continue;
        }
        let share = |part: &[u8]| payload.slice_ref(part);
        out.push_back(Record {
            topic: topic.clone(),
            partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(share),
            value: record.value.map(share),
            headers: record
                .headers
                .map(|header| Header { key: share(header.key), value: header.value.map(share) })
                .collect(),
        });
    }
    Ok(opened)
}
