//! One connection's protocol: the opening, correlations, requests in flight in their order, and what came back.
//! Bytes in, events out. Never a socket, a clock, or a second try: who lost a connection opens another one.

use crate::core::outgoing::Outgoing;
use crate::core::receive::Receive;
use bytes::{Bytes, BytesMut};
use flumen_model::{Code, Error, GroupId, Result, ShardId};
use flumen_wire::{
    Acks, Body, FrameHeader, FrameKind, HelloReply, HelloRequest, ProduceReply, ProduceRequest, Push,
    Request, Role, decode_push_end, decode_reply, encode_opening, encode_produce_header, encode_request,
};
use std::collections::VecDeque;

/// The hello's correlation; requests have others, and a refusal of the whole connection has [`u32::MAX`].
const HELLO_CORRELATION: u32 = 0;

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done.
    Opened(HelloReply),
    /// The answer to a batch.
    Appended {
        /// The batch's correlation.
        correlation: u32,
        /// Where it lies, or the server's error.
        result: Result<ProduceReply>,
    },
    /// The answer to any other request.
    Reply {
        /// The request's correlation.
        correlation: u32,
        /// The request's kind.
        kind: FrameKind,
        /// For [`decode_reply`].
        body: Bytes,
    },
    /// Batches of a subscription.
    Push {
        /// The subscription's handle.
        handle: u32,
        /// The batches; the first may begin before the wanted offset.
        push: Push,
    },
    /// The end of a subscription. The handle is free again.
    PushEnd {
        /// The subscription's handle.
        handle: u32,
        /// Why it ended.
        error: Error,
    },
}

/// A request without its answer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    correlation: u32,
    kind: FrameKind,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    receive: Receive,
    outgoing: Outgoing,
    pending: VecDeque<Pending>,
    last_correlation: u32,
    hello: Option<HelloReply>,
}

impl Connection {
    /// A connection that greets the server; `shard` none takes any. Requests may follow at once.
    pub fn open(client_id: &str, shard: Option<ShardId>) -> Result<Connection> {
        let mut outgoing = Outgoing::default();
        encode_opening(HELLO_CORRELATION, &HelloRequest::new(client_id, shard), outgoing.pack())?;
        Ok(Connection {
            receive: Receive::default(),
            outgoing,
            pending: VecDeque::new(),
            last_correlation: HELLO_CORRELATION,
            hello: None,
        })
    }

    /// The server's hello, once it came.
    pub fn hello(&self) -> Option<&HelloReply> {
        self.hello.as_ref()
    }

    /// Requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Queues a request and tells its correlation. `LimitReached`, and nothing queued, when it is too large.
    pub fn send<R: Request>(&mut self, request: &R) -> Result<u32> {
        let correlation = self.next_correlation();
        encode_request(correlation, request, self.outgoing.pack())?;
        self.last_correlation = correlation;
        if R::KIND != FrameKind::Credit {
            self.pending.push_back(Pending { correlation, kind: R::KIND });
        }
        Ok(correlation)
    }

    /// Queues a batch and tells its correlation; with [`Acks::None`] no answer comes.
    pub fn send_batch(&mut self, group: GroupId, acks: Acks, batch: Bytes) -> u32 {
        let correlation = self.note_batch(acks);
        encode_produce_header(correlation, group, acks, batch.len(), self.outgoing.pack());
        self.outgoing.push(batch);
        correlation
    }

    /// Like [`Connection::send_batch`] for a caller that writes the bytes itself: `header` becomes what goes before
    /// the batch. Everything in [`Connection::outgoing`] must be written before it.
    pub fn begin_batch(
        &mut self,
        group: GroupId,
        acks: Acks,
        batch_bytes: usize,
        header: &mut BytesMut,
    ) -> u32 {
        let correlation = self.note_batch(acks);
        header.clear();
        encode_produce_header(correlation, group, acks, batch_bytes, header);
        correlation
    }

    fn note_batch(&mut self, acks: Acks) -> u32 {
        let correlation = self.next_correlation();
        self.last_correlation = correlation;
        if acks != Acks::None {
            self.pending.push_back(Pending { correlation, kind: FrameKind::Produce });
        }
        correlation
    }

    fn next_correlation(&self) -> u32 {
        match self.last_correlation.wrapping_add(1) {
            u32::MAX | HELLO_CORRELATION => HELLO_CORRELATION + 1,
            next => next,
        }
    }

    /// What is to be written.
    pub fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Room for the next read; never empty.
    pub fn room(&mut self) -> &mut [u8] {
        self.receive.room()
    }

    /// So many bytes were read into the room.
    pub fn received(&mut self, bytes: usize) {
        self.receive.filled(bytes);
    }

    /// The next thing that came. An error ends the connection: it is the server's reason, or the server spoke
    /// nonsense.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        let Some((header, body)) = self.receive.next_frame()? else { return Ok(None) };
        match FrameKind::of_number(header.kind()) {
            Some((FrameKind::Hello, Role::Reply)) => self.hello_reply(&body).map(Some),
            Some((kind, Role::Reply)) => self.reply(kind, &header, body).map(Some),
            Some((FrameKind::Push, Role::Push)) => {
                Ok(Some(Event::Push { handle: header.correlation(), push: Push::get(&body)? }))
            }
            Some((FrameKind::PushEnd, Role::Push)) => {
                Ok(Some(Event::PushEnd { handle: header.correlation(), error: decode_push_end(&body)? }))
            }
            _ => Err(nonsense(format!("frame kind {:#06x} is none of a server's", header.kind()))),
        }
    }

    fn hello_reply(&mut self, body: &Bytes) -> Result<Event> {
        // An error is the server's refusal of the connection, at any time.
        let hello = decode_reply::<HelloRequest>(body)?;
        if self.hello.is_some() {
            return Err(nonsense("a second hello came"));
        }
        self.hello = Some(hello.clone());
        Ok(Event::Opened(hello))
    }

    fn reply(&mut self, kind: FrameKind, header: &FrameHeader, body: Bytes) -> Result<Event> {
        let correlation = header.correlation();
        let asked = self.pending.pop_front();
        if self.hello.is_none()
            || !asked.is_some_and(|one| one.correlation == correlation && one.kind == kind)
        {
            return Err(nonsense(format!("an answer to {} {correlation} came out of its turn", kind.name())));
        }
        if kind == FrameKind::Produce {
            let result = decode_reply::<ProduceRequest>(&body);
            return Ok(Event::Appended { correlation, result });
        }
        Ok(Event::Reply { correlation, kind, body })
    }
}

#[cold]
fn nonsense(what: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidRequest, format!("the server does not keep to the protocol: {what}"))
}
