//! The record batch, Kafka's format v2: 61 bytes of big-endian header, viewed in place, and the records behind it.
//! Byte for byte what the producer sent; only the base offset and the leader epoch are ever patched, both outside
//! the checksum. Nothing here opens a compressed batch, allocates, or trusts a length.
//!
//! ```text
//!  0 base offset i64        16 magic i8 (2)          27 base timestamp i64    51 producer epoch i16
//!  8 batch length i32       17 CRC-32C u32 of 21..   35 max timestamp i64     53 base sequence i32
//! 12 leader epoch i32       21 attributes i16        43 producer id i64       57 record count i32
//!                           23 last offset delta i32                          61 records
//! ```
//! The length counts from the leader epoch on. The checksum covers neither offset, length, epoch nor magic.
//! Source: Kafka's `DefaultRecordBatch`, KIP-98.

mod builder;
mod run;
#[cfg(test)]
pub(crate) mod tests;
mod validate;

pub use builder::{BatchBuilder, Sequence};
pub use run::{Batches, Stop};
pub use validate::validate_produced;

use crate::error::{Code, Error, Result};
use crate::ids::{Offset, ProducerId, UnixMillis};
use crate::limits::BATCH_BYTES_HARD_MAX;
use std::fmt;
use zerocopy::big_endian::{I16, I32, I64, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a batch before its first record.
pub const BATCH_HEADER_BYTES: usize = size_of::<Header>();
/// The only format in the house.
pub const BATCH_MAGIC: u8 = 2;

/// Bytes in front of what the length field counts: base offset and the length itself.
const LENGTH_STARTS: usize = 12;
/// Where the checksummed part begins: at the attributes.
const CRC_STARTS: usize = 21;

const ATTRIBUTE_CODEC: u16 = 0b111;
const ATTRIBUTE_APPEND_TIME: u16 = 1 << 3;
const ATTRIBUTE_TRANSACTIONAL: u16 = 1 << 4;
const ATTRIBUTE_CONTROL: u16 = 1 << 5;
const ATTRIBUTE_DELETE_HORIZON: u16 = 1 << 6;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct Header {
    base_offset: I64,
    length: I32,
    leader_epoch: I32,
    magic: u8,
    crc: U32,
    attributes: U16,
    last_offset_delta: I32,
    base_timestamp: I64,
    max_timestamp: I64,
    producer_id: I64,
    producer_epoch: I16,
    base_sequence: I32,
    record_count: I32,
}

const _: () = assert!(BATCH_HEADER_BYTES == 61, "Kafka's header is 61 bytes");

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in the framing of the Java library that Kafka's clients use.
    Snappy,
    /// An LZ4 frame.
    Lz4,
    /// A Zstandard frame (KIP-110).
    Zstd,
}

impl Compression {
    /// All codecs, by number.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// Kafka's name of the codec, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec of a name.
    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|codec| codec.name() == name)
    }

    fn of_attributes(attributes: u16) -> Option<Compression> {
        Compression::ALL.get(usize::from(attributes & ATTRIBUTE_CODEC)).copied()
    }
}

/// One whole batch, viewed in place. Its framing is sound (see [`BatchView::parse`]); whether its checksum and
/// records are is [`validate_produced`]'s and [`BatchView::check_crc`]'s business.
#[derive(Clone, Copy)]
pub struct BatchView<'a> {
    header: &'a Header,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Views the batch at the start of `bytes`; more may follow behind it. `InvalidBatch` when the bytes end
    /// before the batch does, or when its framing is not sound: magic, lengths, codec, and numbers that may not
    /// be negative.
    pub fn parse(bytes: &'a [u8]) -> Result<BatchView<'a>> {
        BatchView::peek(bytes)?.ok_or_else(|| cut(bytes.len()))
    }

    /// Like [`BatchView::parse`], but `None` when more bytes are needed.
    pub fn peek(bytes: &'a [u8]) -> Result<Option<BatchView<'a>>> {
        let Ok((header, _)) = Header::ref_from_prefix(bytes) else { return Ok(None) };
        let total = header.total_bytes()?;
        Ok(bytes.get(..total).map(|bytes| BatchView { header, bytes }))
    }

    /// The offset of the first record. What a producer sends is 0.
    pub fn base_offset(&self) -> Offset {
        Offset(self.header.base_offset.get() as u64)
    }

    /// Bytes of the whole batch, header included.
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The epoch of the leader that took it; -1 as producers send it.
    pub fn leader_epoch(&self) -> i32 {
        self.header.leader_epoch.get()
    }

    /// The CRC-32C that the producer wrote over everything from the attributes on.
    pub fn crc(&self) -> u32 {
        self.header.crc.get()
    }

    /// The raw attribute bits.
    pub fn attributes(&self) -> u16 {
        self.header.attributes.get()
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Compression {
        Compression::of_attributes(self.attributes()).expect("parse refuses unknown codecs")
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes() & ATTRIBUTE_TRANSACTIONAL != 0
    }

    /// Whether it holds a control record (a transaction's marker) instead of users' records.
    pub fn is_control(&self) -> bool {
        self.attributes() & ATTRIBUTE_CONTROL != 0
    }

    /// Whether every record's time is the batch's max timestamp, set by the leader.
    pub fn is_append_time(&self) -> bool {
        self.attributes() & ATTRIBUTE_APPEND_TIME != 0
    }

    /// The last record's offset minus the first's.
    pub fn last_offset_delta(&self) -> u32 {
        self.header.last_offset_delta.get() as u32
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(u64::from(self.last_offset_delta()))
    }

    /// The offset behind the last record: where the next batch begins.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The time that the records' deltas count from.
    pub fn base_timestamp(&self) -> UnixMillis {
        UnixMillis(self.header.base_timestamp.get())
    }

    /// The largest time of a record, by the producer's word.
    pub fn max_timestamp(&self) -> UnixMillis {
        UnixMillis(self.header.max_timestamp.get())
    }

    /// The idempotent producer's id; none for plain producers.
    pub fn producer_id(&self) -> Option<ProducerId> {
        let id = self.header.producer_id.get();
        (id >= 0).then_some(ProducerId(id))
    }

    /// The producer's epoch; -1 without a producer id.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch.get()
    }

    /// The first record's sequence; -1 without a producer id.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence.get()
    }

    /// The last record's sequence, which wraps from `i32::MAX` to 0; -1 without a base sequence.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            negative if negative < 0 => -1,
            base => base.wrapping_add(self.last_offset_delta() as i32) & i32::MAX,
        }
    }

    /// How many records it says it has. Zero in the empty batches that compaction leaves.
    pub fn record_count(&self) -> u32 {
        self.header.record_count.get() as u32
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed or not.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[BATCH_HEADER_BYTES..]
    }

    /// Compares the producer's checksum with the bytes; `BatchChecksum` when they differ.
    pub fn check_crc(&self) -> Result<()> {
        let computed = crc32c::crc32c(&self.bytes[CRC_STARTS..]);
        if computed == self.crc() {
            return Ok(());
        }
        Err(Error::new(
            Code::BatchChecksum,
            format!(
                "the batch's CRC-32C is {computed:08x} but its header says {:08x}; it was damaged on the way, send it again",
                self.crc()
            ),
        ))
    }
}

impl fmt::Debug for BatchView<'_> {
    /// The header without the records, which may be megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header.fmt(f)
    }
}

impl Header {
    /// Bytes of the whole batch, once the header's own numbers make sense.
    fn total_bytes(&self) -> Result<usize> {
        if self.magic != BATCH_MAGIC {
            return Err(invalid(format!(
                "the batch has magic {} but only format 2 is taken; use a client of Kafka 0.11 or later",
                self.magic
            )));
        }
        let total = usize::try_from(self.length.get()).ok().map_or(0, |length| length + LENGTH_STARTS);
        if !(BATCH_HEADER_BYTES..=BATCH_BYTES_HARD_MAX).contains(&total) {
            return Err(invalid(format!(
                "the batch's length field says {}; a batch is {BATCH_HEADER_BYTES} to {BATCH_BYTES_HARD_MAX} bytes",
                self.length
            )));
        }
        if self.base_offset.get() < 0 || self.last_offset_delta.get() < 0 || self.record_count.get() < 0 {
            return Err(invalid("the batch's base offset, last offset delta or record count is negative"));
        }
        if Compression::of_attributes(self.attributes.get()).is_none() {
            return Err(invalid(format!(
                "the batch's codec number is {}; known are 0 to 4: none, gzip, snappy, lz4, zstd",
                self.attributes.get() & ATTRIBUTE_CODEC
            )));
        }
        Ok(total)
    }
}

/// Gives a batch its place: patches base offset and leader epoch, which the checksum does not cover.
///
/// # Panics
/// When `batch` is shorter than a header, or a number does not fit Kafka's signed fields: a bug of the caller,
/// who has parsed it.
pub fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: u32) {
    let header = header_mut(batch);
    header.base_offset = I64::new(i64::try_from(base_offset.0).expect("offsets stay below 2^63"));
    header.leader_epoch = I32::new(i32::try_from(leader_epoch).expect("leader epochs stay below 2^31"));
}

/// Gives every record the time of the append, as a topic with `message.timestamp.type=LogAppendTime` wants it:
/// sets the attribute bit and the max timestamp, and writes a new checksum.
///
/// # Panics
/// When `batch` is not exactly one batch: a bug of the caller, who has parsed it.
pub fn stamp_append_time(batch: &mut [u8], now: UnixMillis) {
    let header = header_mut(batch);
    header.attributes |= U16::new(ATTRIBUTE_APPEND_TIME);
    header.max_timestamp = I64::new(now.0);
    assert_eq!(header.total_bytes(), Ok(batch.len()), "the slice is exactly one batch");
    write_crc(batch);
}

fn header_mut(batch: &mut [u8]) -> &mut Header {
    Header::mut_from_prefix(batch).expect("a parsed batch has a whole header").0
}

fn write_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_STARTS..]);
    header_mut(batch).crc = U32::new(crc);
}

#[cold]
fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidBatch, message)
}

#[cold]
fn cut(have: usize) -> Error {
    invalid(format!("the batch is cut off after {have} bytes; send exactly one whole batch"))
}
