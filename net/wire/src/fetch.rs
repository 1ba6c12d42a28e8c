//! Reading once: batches from an offset, and the offsets of times and ends.

use crate::fields::{Reader, cut, number};
use crate::frame::FrameHeader;
use crate::kind::FrameKind;
use crate::message::{Body, message};
use crate::reply::CODE_BYTES;
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::{GroupId, Offset, Result, UnixMillis};
use zerocopy::little_endian::{I64, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

message! {
    /// Asks for batches from an offset on.
    struct FetchRequest {
        /// The group to read.
        group: GroupId,
        /// The first offset wanted. The first batch may begin before it.
        offset: Offset,
        /// The most bytes of batches; one batch comes even when it is larger.
        bytes_max: u32,
        /// How long to wait for `bytes_min`, in milliseconds.
        wait_ms: u32,
        /// The reply may wait for so many bytes.
        bytes_min: u32,
    }
}

/// The fixed part of a fetch reply; whole batches are all that follows.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FetchReplyHead {
    high_watermark: U64,
    log_start: U64,
}

impl FetchReplyHead {
    /// A head.
    pub fn new(high_watermark: Offset, log_start: Offset) -> FetchReplyHead {
        FetchReplyHead { high_watermark: U64::new(high_watermark.0), log_start: U64::new(log_start.0) }
    }

    /// Views the head of an opened fetch reply, and the batches behind it, without a copy.
    pub fn split(body: &[u8]) -> Result<(&FetchReplyHead, &[u8])> {
        FetchReplyHead::ref_from_prefix(body).map_err(|_| cut())
    }

    /// The offset behind the last committed record.
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.get())
    }

    /// The first offset that the partition still has.
    pub fn log_start(&self) -> Offset {
        Offset(self.log_start.get())
    }
}

/// Batches from the offset that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReply {
    /// The offset behind the last committed record.
    pub high_watermark: Offset,
    /// The first offset that the partition still has.
    pub log_start: Offset,
    /// Whole batches, one behind the other; none when there was nothing in time.
    pub batches: Bytes,
}

impl Body for FetchReply {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(FetchReplyHead::new(self.high_watermark, self.log_start).as_bytes());
        out.put_slice(&self.batches);
    }

    fn get(body: &Bytes) -> Result<FetchReply> {
        let mut reader = Reader::new(body);
        let head: &FetchReplyHead = reader.view()?;
        Ok(FetchReply {
            high_watermark: head.high_watermark(),
            log_start: head.log_start(),
            batches: reader.tail(),
        })
    }
}

/// Writes everything of a fetch reply before its batches behind `out`; they follow as slices of their own, of
/// exactly `batches_bytes` bytes together.
///
/// # Panics
/// When the batches are over the frame limit: the server bounds what it reads.
pub fn encode_fetch_reply_header(
    correlation: u32,
    head: FetchReplyHead,
    batches_bytes: usize,
    out: &mut BytesMut,
) {
    let body_bytes = CODE_BYTES + size_of::<FetchReplyHead>() + batches_bytes;
    out.put_slice(FrameHeader::new(FrameKind::Fetch.reply_number(), correlation, body_bytes).as_bytes());
    out.put_u16_le(0);
    out.put_slice(head.as_bytes());
}

/// Which offset is asked for; Kafka's special timestamps on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetOf {
    /// The high watermark: where the next record will be seen.
    Latest,
    /// The first that the partition still has.
    Earliest,
    /// The record with the largest time.
    MaxTimestamp,
    /// The first record of this time or later.
    Time(UnixMillis),
}

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

impl OffsetOf {
    fn to_wire(self) -> I64 {
        I64::new(match self {
            OffsetOf::Latest => LATEST,
            OffsetOf::Earliest => EARLIEST,
            OffsetOf::MaxTimestamp => MAX_TIMESTAMP,
            OffsetOf::Time(time) => time.0,
        })
    }

    fn of_wire(wire: I64) -> OffsetOf {
        match wire.get() {
            LATEST => OffsetOf::Latest,
            EARLIEST => OffsetOf::Earliest,
            MAX_TIMESTAMP => OffsetOf::MaxTimestamp,
            time => OffsetOf::Time(UnixMillis(time)),
        }
    }
}

number! {
    OffsetOf = I64, |own: &OffsetOf| own.to_wire(), |wire| Ok(OffsetOf::of_wire(wire));
}

message! {
    /// Asks for the offset of a time or of an end.
    struct ListOffsetsRequest {
        /// The group.
        group: GroupId,
        /// Which offset.
        of: OffsetOf,
    }

    /// The offset.
    struct ListOffsetsReply {
        /// The offset; none when no record is that late.
        offset: Option<Offset>,
        /// The record's time, when a time was asked for.
        timestamp: Option<UnixMillis>,
    }
}
