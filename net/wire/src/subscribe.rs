//! Pushing: a client gives credit in bytes, and batches come as they are committed, without a poll. Batches travel
//! as they lie in memory; only a fixed head is written before them.

use crate::fields::{Field, Reader, cut};
use crate::frame::{self, FrameHeader};
use crate::kind::FrameKind;
use crate::message::{Body, message};
use crate::reply;
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::{Error, GroupId, Offset, Result};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

message! {
    /// Asks for a group's batches to be pushed.
    struct SubscribeRequest {
        /// The group.
        group: GroupId,
        /// The client's name for the subscription, new on this connection; the correlation of its pushes.
        handle: u32,
        /// The first offset wanted. The first batch may begin before it.
        offset: Offset,
        /// Bytes of batches that may be pushed before more credit comes. One batch may overdraw it.
        credit_bytes: u32,
    }

    /// The subscription stands.
    struct SubscribeReply {
        /// The first offset that will come.
        offset: Offset,
        /// The offset behind the last committed record.
        high_watermark: Offset,
        /// The first offset that the partition still has.
        log_start: Offset,
    }

    /// Allows more to be pushed.
    struct CreditRequest {
        /// The subscription.
        handle: u32,
        /// Bytes of batches, on top of what is left.
        credit_bytes: u32,
    }

    /// Ends a subscription.
    struct UnsubscribeRequest {
        /// The subscription.
        handle: u32,
    }
}

/// The fixed part of a Push; whole batches are all that follows.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PushHead {
    group: U64,
    high_watermark: U64,
    log_start: U64,
}

/// Bytes of a Push body before the batches.
pub const PUSH_HEAD_BYTES: usize = size_of::<PushHead>();

impl PushHead {
    /// A head.
    pub fn new(group: GroupId, high_watermark: Offset, log_start: Offset) -> PushHead {
        PushHead {
            group: U64::new(group.0),
            high_watermark: U64::new(high_watermark.0),
            log_start: U64::new(log_start.0),
        }
    }

    /// Views the head of a Push body, and the batches behind it, without a copy or an allocation.
    pub fn split(body: &[u8]) -> Result<(&PushHead, &[u8])> {
        PushHead::ref_from_prefix(body).map_err(|_| cut())
    }

    /// The group that the batches are of.
    pub fn group(&self) -> GroupId {
        GroupId(self.group.get())
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

/// Batches of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The group that the batches are of.
    pub group: GroupId,
    /// The offset behind the last committed record.
    pub high_watermark: Offset,
    /// The first offset that the partition still has.
    pub log_start: Offset,
    /// Whole batches, one behind the other; the first may begin before the wanted offset.
    pub batches: Bytes,
}

impl Body for Push {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(PushHead::new(self.group, self.high_watermark, self.log_start).as_bytes());
        out.put_slice(&self.batches);
    }

    fn get(body: &Bytes) -> Result<Push> {
        let mut reader = Reader::new(body);
        let head: &PushHead = reader.view()?;
        Ok(Push {
            group: head.group(),
            high_watermark: head.high_watermark(),
            log_start: head.log_start(),
            batches: reader.tail(),
        })
    }
}

/// Writes frame header and head of a Push behind `out`; the batches follow as slices of their own, of exactly
/// `batches_bytes` bytes together.
///
/// # Panics
/// When the batches are over the frame limit: the server bounds what it pushes at once.
pub fn encode_push_header(handle: u32, head: PushHead, batches_bytes: usize, out: &mut BytesMut) {
    let body_bytes = PUSH_HEAD_BYTES + batches_bytes;
    out.put_slice(FrameHeader::new(FrameKind::Push.number(), handle, body_bytes).as_bytes());
    out.put_slice(head.as_bytes());
}

/// Writes the end of a subscription and its reason behind `out`.
pub fn encode_push_end(handle: u32, why: &Error, out: &mut BytesMut) {
    frame::write(FrameKind::PushEnd.number(), handle, out, |out| reply::put_error(why, out))
        .expect("an error's message is cut to fit");
}

/// Reads why a subscription ended.
pub fn decode_push_end(body: &Bytes) -> Result<Error> {
    let mut reader = Reader::new(body);
    let code = u16::get(&mut reader)?;
    reply::get_error(code, &mut reader)
}
