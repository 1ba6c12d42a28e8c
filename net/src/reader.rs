//! Reads a connection's frames: everything in the receive buffer is parsed before the next wait, so that the
//! appends of one read go to the journal together. It never believes a length before the bytes are there.

use crate::connection::Connection;
use bytes::BytesMut;
use flumen_engine::{Ack, AckSink, Acks};
use flumen_io::{Host, Read, Stream};
use flumen_model::{Code, Error, GroupId, Result};
use flumen_wire::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, Next, PRODUCE_HEAD_BYTES, ProduceHead, frame};
use std::rc::Rc;

/// Receive buffers are taken in pieces of this size; larger frames get more once a part of them is there.
const RECEIVE_BYTES: usize = 64 * 1024;
/// A read with less room than this is not worth its call.
const RECEIVE_BYTES_MIN: usize = 4 * 1024;
/// So many times what has come is reserved at once for a large frame.
const GROWTH: usize = 4;

impl<H: Host> Connection<H> {
    /// Reads until the peer ends, lies or is closed.
    pub(crate) async fn run_reader(self: Rc<Self>, mut received: BytesMut) {
        if let Err(error) = self.read_all(&mut received).await {
            tracing::debug!(peer = %self.stream.peer_addr(), %error, "connection refused");
            // Frames cannot be found any more: say why, outside of any request, and end.
            self.end_subscriptions();
            self.refuse_all(&error).await;
        }
        self.close();
        self.end_subscriptions();
    }

    async fn read_all(self: &Rc<Self>, received: &mut BytesMut) -> Result<()> {
        let sink: Rc<dyn AckSink> = self.clone();
        loop {
            let missing = self.take_frames(received, &sink).await?;
            self.shard.flush();
            reserve(received, missing);
            let (read, buf) = self.stream.read(std::mem::take(received)).await;
            *received = buf;
            match read {
                Ok(Read::Bytes(_)) if !self.is_closed() => self.note_read(),
                _ => return Ok(()),
            }
        }
    }

    /// Handles every whole frame. Returns how many bytes the next one lacks.
    async fn take_frames(self: &Rc<Self>, received: &mut BytesMut, sink: &Rc<dyn AckSink>) -> Result<usize> {
        loop {
            if self.is_closed() {
                return Ok(0);
            }
            match frame::next_request(received)? {
                Next::NeedMore(missing) => return Ok(missing),
                Next::Frame { header, frame_bytes } => {
                    self.wait_room(frame_bytes).await;
                    let frame = received.split_to(frame_bytes);
                    self.handle(header, frame, sink)?;
                }
            }
        }
    }

    /// Back-pressure: a client that does not read its replies, or a journal without room, stops the reading.
    async fn wait_room(self: &Rc<Self>, frame_bytes: usize) {
        while !self.has_room() && !self.is_closed() {
            self.shard.flush();
            self.drained.notified().await;
        }
        while !self.shard.admits(frame_bytes) && !self.is_closed() {
            self.shard.flush();
            self.shard.wait_room().await;
        }
    }

    fn handle(
        self: &Rc<Self>,
        header: FrameHeader,
        mut frame: BytesMut,
        sink: &Rc<dyn AckSink>,
    ) -> Result<()> {
        if header.kind() != FrameKind::Produce.number() {
            return self.handle_any(header, frame.split_off(FRAME_HEADER_BYTES).freeze());
        }
        let head =
            ProduceHead::split(&frame[FRAME_HEADER_BYTES..]).map(|(head, _)| (head.group(), head.acks()));
        let batch_at = FRAME_HEADER_BYTES + PRODUCE_HEAD_BYTES;
        match head {
            Ok((group, flumen_wire::Acks::None)) => {
                // Nobody hears of a failure; that is what acks 0 means.
                let _ = self.shard.produce(group, frame.split_off(batch_at), Acks::None, None);
            }
            Ok((group, acks)) => self.produce(header, group, acks, frame.split_off(batch_at), sink),
            Err(error) => {
                let slot = self.out(|out| out.promise(FrameKind::Produce, header.correlation()));
                self.refuse(slot, &error);
            }
        }
        Ok(())
    }

    fn produce(
        &self,
        header: FrameHeader,
        group: GroupId,
        acks: flumen_wire::Acks,
        batch: BytesMut,
        sink: &Rc<dyn AckSink>,
    ) {
        let acks = match acks {
            flumen_wire::Acks::None | flumen_wire::Acks::Leader => Acks::Leader,
            flumen_wire::Acks::Quorum => Acks::Quorum,
        };
        let slot = self.out(|out| out.promise(FrameKind::Produce, header.correlation()));
        let ack = Ack { sink: sink.clone(), slot };
        if let Err(error) = self.shard.produce(group, batch, acks, Some(ack)) {
            self.refuse(slot, &error);
        }
    }
}

/// Makes room for the next read: for what is missing, but never for more than a few times what has come.
fn reserve(received: &mut BytesMut, missing: usize) {
    let earned = received.len().saturating_mul(GROWTH).max(RECEIVE_BYTES);
    let wanted = missing.min(earned).max(RECEIVE_BYTES_MIN);
    if received.capacity() - received.len() < wanted {
        received.reserve(wanted.max(RECEIVE_BYTES));
    }
}

/// The error of a frame that no request has.
pub(crate) fn unexpected(kind: FrameKind) -> Error {
    Error::new(
        Code::InvalidRequest,
        format!("{} is not expected here: see the protocol's document", kind.name()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumen_model::limits::FRAME_BYTES_MAX;

    #[test]
    fn a_length_that_a_stranger_names_reserves_only_a_few_times_what_came() {
        let mut received = BytesMut::new();
        received.extend_from_slice(&[0; 16]);
        reserve(&mut received, FRAME_BYTES_MAX);
        assert!(received.capacity() <= 2 * RECEIVE_BYTES, "{} bytes for 16", received.capacity());
        received.resize(RECEIVE_BYTES, 0);
        reserve(&mut received, FRAME_BYTES_MAX);
        assert!(
            received.capacity() <= (GROWTH + 2) * RECEIVE_BYTES,
            "{} bytes for 64 KiB",
            received.capacity()
        );
    }
}
