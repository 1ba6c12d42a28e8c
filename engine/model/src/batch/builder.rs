//! Builds batches as Kafka's producers do, for clients and tests. Reuses its buffers: a finished batch's memory
//! comes back to the builder once nobody holds the batch any more. Never gives offsets; that is the leader's part.

use super::{BATCH_HEADER_BYTES, BATCH_MAGIC, Compression, Header, header_mut, invalid, write_crc};
use crate::compression;
use crate::error::{Code, Error, Result};
use crate::ids::{ProducerId, UnixMillis};
use crate::limits::BATCH_BYTES_HARD_MAX;
use crate::varint;
use bytes::{BufMut, Bytes, BytesMut};
use zerocopy::big_endian::{I16, I32, I64, U16, U32};

/// An idempotent producer's mark on a batch (KIP-98): the leader drops repeats and refuses gaps by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The producer's id, from the cluster.
    pub producer_id: ProducerId,
    /// The producer's epoch; an older one is fenced.
    pub producer_epoch: i16,
    /// The first record's sequence in its partition; wraps from `i32::MAX` to 0.
    pub base_sequence: i32,
}

/// Gathers records into one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    compression: Compression,
    bytes_max: usize,
    /// Header and records, not compressed. Empty when there is no record.
    open: BytesMut,
    /// Header and compressed records of the last finished batch, kept for its memory.
    packed: BytesMut,
    count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    sequence: Option<Sequence>,
}

impl BatchBuilder {
    /// A builder of batches of at most `bytes_max` bytes before compression, and never over the house's hard
    /// limit. `Unsupported` when this build has no codecs and one is asked for.
    pub fn new(bytes_max: usize, compression: Compression) -> Result<BatchBuilder> {
        compression::check_available(compression)?;
        Ok(BatchBuilder {
            compression,
            bytes_max: bytes_max.min(BATCH_BYTES_HARD_MAX),
            open: BytesMut::new(),
            packed: BytesMut::new(),
            count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            sequence: None,
        })
    }

    /// Adds a record and tells the batch's size so far. `BatchTooLarge` when it does not fit: then nothing was
    /// added; finish the batch and try again, unless the batch [is empty](BatchBuilder::is_empty), when no batch
    /// ever holds the record. A null value is a tombstone, not an empty one.
    pub fn append(
        &mut self,
        timestamp: UnixMillis,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<usize> {
        let base = if self.count == 0 { timestamp.0 } else { self.base_timestamp };
        let timestamp_delta = timestamp.0.checked_sub(base).ok_or_else(far_apart)?;
        let body = body_bytes(timestamp_delta, self.count, key, value, headers);
        let size = self.bytes().max(BATCH_HEADER_BYTES) + varint::bytes_of(body as i64) + body;
        if size > self.bytes_max {
            return Err(too_large(size, self.bytes_max));
        }
        self.begin(timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp.0);
        varint::put(&mut self.open, body as i64);
        put_body(&mut self.open, timestamp_delta, self.count, key, value, headers);
        self.count += 1;
        debug_assert_eq!(self.open.len(), size, "the size was told before it was written");
        Ok(size)
    }

    /// Bytes of the batch so far, before compression; 0 without a record.
    pub fn bytes(&self) -> usize {
        self.open.len()
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is nothing to finish.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Marks the batch that is being built as an idempotent producer's.
    pub fn set_sequence(&mut self, sequence: Sequence) {
        self.sequence = Some(sequence);
    }

    /// The finished batch; the builder is empty again. Records that do not get smaller stay uncompressed.
    ///
    /// # Panics
    /// When there is no record: a batch has at least one.
    pub fn finish(&mut self) -> Bytes {
        assert!(!self.is_empty(), "a batch has at least one record");
        let codec = self.pack();
        let out = if codec == Compression::None { &mut self.open } else { &mut self.packed };
        let mut batch = out.split();
        self.write_header(&mut batch, codec);
        self.open.clear();
        self.packed.clear();
        self.count = 0;
        self.sequence = None;
        batch.freeze()
    }

    fn begin(&mut self, timestamp: UnixMillis) {
        if self.count > 0 {
            return;
        }
        self.base_timestamp = timestamp.0;
        self.max_timestamp = timestamp.0;
        // Takes back the memory of finished batches that nobody holds.
        self.open.reserve(BATCH_HEADER_BYTES);
        self.open.put_bytes(0, BATCH_HEADER_BYTES);
    }

    /// Compresses into `packed` and tells the codec of what is to be sent.
    fn pack(&mut self) -> Compression {
        if self.compression == Compression::None {
            return Compression::None;
        }
        self.packed.put_bytes(0, BATCH_HEADER_BYTES);
        compression::compress(self.compression, &self.open[BATCH_HEADER_BYTES..], &mut self.packed);
        if self.packed.len() < self.open.len() { self.compression } else { Compression::None }
    }

    fn write_header(&self, batch: &mut [u8], codec: Compression) {
        let producer = self.sequence.unwrap_or(Sequence {
            producer_id: ProducerId(-1),
            producer_epoch: -1,
            base_sequence: -1,
        });
        let length = batch.len() - super::LENGTH_STARTS;
        *header_mut(batch) = Header {
            base_offset: I64::new(0),
            length: I32::new(length as i32),
            leader_epoch: I32::new(-1),
            magic: BATCH_MAGIC,
            crc: U32::new(0),
            attributes: U16::new(codec as u16),
            last_offset_delta: I32::new(self.count as i32 - 1),
            base_timestamp: I64::new(self.base_timestamp),
            max_timestamp: I64::new(self.max_timestamp),
            producer_id: I64::new(producer.producer_id.0),
            producer_epoch: I16::new(producer.producer_epoch),
            base_sequence: I32::new(producer.base_sequence),
            record_count: I32::new(self.count as i32),
        };
        write_crc(batch);
    }
}

/// Bytes of a record behind its own length.
fn body_bytes(
    timestamp_delta: i64,
    offset_delta: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) -> usize {
    let attributes = 1;
    attributes
        + varint::bytes_of(timestamp_delta)
        + varint::bytes_of(i64::from(offset_delta))
        + nullable_bytes(key)
        + nullable_bytes(value)
        + varint::bytes_of(headers.len() as i64)
        + headers
            .iter()
            .map(|(name, value)| nullable_bytes(Some(name)) + nullable_bytes(*value))
            .sum::<usize>()
}

fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::bytes_of(bytes.len() as i64) + bytes.len())
}

fn put_body(
    out: &mut BytesMut,
    timestamp_delta: i64,
    offset_delta: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) {
    out.put_u8(0);
    varint::put(out, timestamp_delta);
    varint::put(out, i64::from(offset_delta));
    put_nullable(out, key);
    put_nullable(out, value);
    varint::put(out, headers.len() as i64);
    for (name, value) in headers {
        put_nullable(out, Some(name));
        put_nullable(out, *value);
    }
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    varint::put(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.put_slice(bytes.unwrap_or_default());
}

#[cold]
fn far_apart() -> Error {
    invalid("the record's timestamp is too far from the batch's first; start a new batch")
}

#[cold]
fn too_large(bytes: usize, bytes_max: usize) -> Error {
    Error::new(
        Code::BatchTooLarge,
        format!(
            "with this record the batch would have {bytes} bytes, over the limit of {bytes_max}; send smaller records or batches"
        ),
    )
}
