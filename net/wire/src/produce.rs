//! Appending: a fixed head and the record batch as it is, byte for byte. And the ids that make appends idempotent.

use crate::fields::{Reader, cut, malformed};
use crate::frame::FrameHeader;
use crate::kind::FrameKind;
use crate::message::{Body, message};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::{GroupId, Offset, ProducerId, Result, UnixMillis};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Acks {
    /// Nothing; there is no reply.
    None = 0,
    /// The leader's stable storage.
    Leader = 1,
    /// What the topic's durability says; Kafka's `all`.
    #[default]
    Quorum = 2,
}

/// The fixed part of a Produce body; the batch is all that follows.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ProduceHead {
    group: U64,
    acks: u8,
    reserved: [u8; 7],
}

/// Bytes of a Produce body before the batch.
pub const PRODUCE_HEAD_BYTES: usize = size_of::<ProduceHead>();

const _: () = assert!(PRODUCE_HEAD_BYTES == 16, "the head is 16 bytes without a hole");

impl ProduceHead {
    /// A head.
    pub fn new(group: GroupId, acks: Acks) -> ProduceHead {
        ProduceHead { group: U64::new(group.0), acks: acks as u8, reserved: [0; 7] }
    }

    /// Views the head of a Produce body, and the batch behind it, without a copy or an allocation.
    pub fn split(body: &[u8]) -> Result<(&ProduceHead, &[u8])> {
        let (head, batch) = ProduceHead::ref_from_prefix(body).map_err(|_| cut())?;
        head.check()?;
        Ok((head, batch))
    }

    /// Where the batch goes.
    pub fn group(&self) -> GroupId {
        GroupId(self.group.get())
    }

    /// What the producer waits for.
    pub fn acks(&self) -> Acks {
        match self.acks {
            0 => Acks::None,
            1 => Acks::Leader,
            _ => Acks::Quorum,
        }
    }

    fn check(&self) -> Result<()> {
        if self.acks > Acks::Quorum as u8 || self.reserved != [0; 7] {
            return Err(malformed("a Produce head has acks 0, 1 or 2 and then seven zeros"));
        }
        Ok(())
    }
}

/// Asks for one batch to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest {
    /// Where it goes.
    pub group: GroupId,
    /// What the producer waits for.
    pub acks: Acks,
    /// The record batch.
    pub batch: Bytes,
}

impl Body for ProduceRequest {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(ProduceHead::new(self.group, self.acks).as_bytes());
        out.put_slice(&self.batch);
    }

    fn get(body: &Bytes) -> Result<ProduceRequest> {
        let mut reader = Reader::new(body);
        let head: &ProduceHead = reader.view()?;
        head.check()?;
        Ok(ProduceRequest { group: head.group(), acks: head.acks(), batch: reader.tail() })
    }
}

/// Writes frame header and head of a Produce behind `out`; the batch follows as a slice of its own, of exactly
/// `batch_bytes` bytes.
///
/// # Panics
/// When the batch is over the house's hard limit: the builder of the batch keeps it.
pub fn encode_produce_header(
    correlation: u32,
    group: GroupId,
    acks: Acks,
    batch_bytes: usize,
    out: &mut BytesMut,
) {
    let body_bytes = PRODUCE_HEAD_BYTES + batch_bytes;
    out.put_slice(FrameHeader::new(FrameKind::Produce.number(), correlation, body_bytes).as_bytes());
    out.put_slice(ProduceHead::new(group, acks).as_bytes());
}

message! {
    /// The batch is appended as durably as was asked.
    struct ProduceReply {
        /// The offset of its first record; of the first time, when it was a repeat.
        base_offset: Offset,
        /// The time of the append, when the topic gives records that time.
        append_time: Option<UnixMillis>,
        /// The first offset that the partition still has.
        log_start: Offset,
    }

    /// Asks for a producer id.
    struct InitProducerRequest {}

    /// A producer id that nobody else has.
    struct InitProducerReply {
        /// The id, for every batch.
        producer_id: ProducerId,
        /// The epoch, for every batch.
        producer_epoch: i16,
    }
}
