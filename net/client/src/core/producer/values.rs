//! What goes into a producer's core and what comes out: records by reference, and what became of them.

use crate::record::{Header, NewRecord, RecordMetadata};
use bytes::Bytes;
use flumen_model::{PartitionNumber, Result, UnixMillis};

/// What a record costs in a batch beside its bytes, at most: lengths, deltas and attributes.
const RECORD_OVERHEAD_BYTES: usize = 32;
const HEADER_OVERHEAD_BYTES: usize = 10;

/// A record to be sent, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// The partition; none lets the key choose.
    pub partition: Option<PartitionNumber>,
    /// The time that it carries.
    pub timestamp: UnixMillis,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl RecordRef<'_> {
    /// Bytes that it takes in a batch, at most.
    pub(crate) fn bytes(&self) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(key, value)| HEADER_OVERHEAD_BYTES + key.len() + value.map_or(0, <[u8]>::len));
        RECORD_OVERHEAD_BYTES
            + self.key.map_or(0, <[u8]>::len)
            + self.value.map_or(0, <[u8]>::len)
            + headers.sum::<usize>()
    }

    /// A copy that lasts.
    pub(crate) fn keep(&self) -> NewRecord {
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let header =
            |(key, value): &(&[u8], Option<&[u8]>)| Header { key: copy(key), value: value.map(copy) };
        NewRecord {
            topic: self.topic.into(),
            partition: self.partition,
            key: self.key.map(copy),
            value: self.value.map(copy),
            headers: self.headers.iter().map(header).collect(),
            timestamp: Some(self.timestamp),
        }
    }
}

/// What a caller waited for.
#[derive(Debug)]
pub enum Done {
    /// A record's fate.
    Record {
        /// As it was given with the record.
        tag: u64,
        /// Where it lies, or why it does not.
        result: Result<RecordMetadata>,
    },
    /// A flush has ended.
    Flushed {
        /// As it was given with the flush.
        tag: u64,
    },
}
