//! The one table of frame kinds: number, name, who answers. Dispatch, decoding and documents use it; a kind that is
//! not in it does not exist. Numbers are never used again.

use crate::message::{Body, Request};
use crate::*;
use bytes::Bytes;
use flumen_model::{Code, Error, Result};

/// The bit that makes a request's number its reply's.
const REPLY_BIT: u16 = 0x8000;

/// How frames of a kind flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// From the client; each gets one reply, in the order of the requests.
    Answered,
    /// From the client; answered unless the request says otherwise (Produce with acks 0).
    AnsweredUnlessAsked,
    /// From the client; never answered.
    Unanswered,
    /// From the server, between replies.
    Push,
}

/// Which shard answers a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The one that the connection is on.
    Any,
    /// The one that owns the group; others answer `WrongShard`.
    Owner,
    /// Shard 0; others answer `WrongShard`.
    First,
    /// Nobody: the client takes it.
    Client,
}

/// A row of [`KINDS`].
#[derive(Clone, Copy, Debug)]
pub struct KindRow {
    /// The kind.
    pub kind: FrameKind,
    /// Its number in a header; a reply's has [the top bit](Role::Reply) set beside it.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// How its frames flow.
    pub flow: Flow,
    /// Who answers it.
    pub answered_by: AnsweredBy,
}

/// Whether a frame asks, answers or is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client's.
    Request,
    /// A server's answer: the kind's number with bit 15 set.
    Reply,
    /// A server's own.
    Push,
}

macro_rules! kinds {
    (
        requests { $($(#[$doc:meta])* $name:ident = $number:literal, $request:ident => $reply:ident, $flow:ident, $by:ident;)* }
        pushes { $($(#[$push_doc:meta])* $push:ident = $push_number:literal;)* }
    ) => {
        /// What a frame is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum FrameKind { $($(#[$doc])* $name = $number,)* $($(#[$push_doc])* $push = $push_number,)* }

        /// All kinds, by number.
        pub const KINDS: &[KindRow] = &[
            $(KindRow {
                kind: FrameKind::$name, number: $number, name: stringify!($name),
                flow: Flow::$flow, answered_by: AnsweredBy::$by,
            },)*
            $(KindRow {
                kind: FrameKind::$push, number: $push_number, name: stringify!($push),
                flow: Flow::Push, answered_by: AnsweredBy::Client,
            },)*
        ];

        $(impl Request for $request {
            const KIND: FrameKind = FrameKind::$name;
            type Reply = $reply;
        })*

        /// Any request, decoded.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum AnyRequest { $($name($request),)* }

        impl AnyRequest {
            /// Decodes the body of a request. `Unsupported` for a kind that is none.
            pub fn decode(kind: u16, body: &Bytes) -> Result<AnyRequest> {
                match FrameKind::of_number(kind) {
                    $(Some((FrameKind::$name, Role::Request)) => $request::get(body).map(AnyRequest::$name),)*
                    _ => Err(unknown(kind)),
                }
            }

            /// Its kind.
            pub fn kind(&self) -> FrameKind {
                match self { $(AnyRequest::$name(_) => FrameKind::$name,)* }
            }

            /// Writes its body behind `out`.
            pub fn put(&self, out: &mut bytes::BytesMut) {
                match self { $(AnyRequest::$name(request) => request.put(out),)* }
            }
        }

        /// Decodes the body of any reply and writes it again: for fuzzing and tests.
        pub(crate) fn echo_reply(kind: FrameKind, body: &Bytes, out: &mut bytes::BytesMut) -> Result<()> {
            match kind {
                $(FrameKind::$name => {
                    let reply = decode_reply::<$request>(body)?;
                    encode_reply::<$request>(0, &reply, out);
                    Ok(())
                })*
                $(FrameKind::$push => Err(unknown(kind.number())),)*
            }
        }

        impl FrameKind {
            /// The kind of a header's number, and whether that is the request's, the reply's or a push's.
            pub fn of_number(number: u16) -> Option<(FrameKind, Role)> {
                let (kind, flow) = match number & !REPLY_BIT {
                    $($number => (FrameKind::$name, Flow::$flow),)*
                    $($push_number => (FrameKind::$push, Flow::Push),)*
                    _ => return None,
                };
                match (flow, number & REPLY_BIT != 0) {
                    (Flow::Push, false) => Some((kind, Role::Push)),
                    (_, false) => Some((kind, Role::Request)),
                    (Flow::Answered | Flow::AnsweredUnlessAsked, true) => Some((kind, Role::Reply)),
                    (Flow::Push | Flow::Unanswered, true) => None,
                }
            }
        }
    };
}

kinds! {
    requests {
        /// The first frame of a connection, right behind the preface: versions, features, the wanted shard.
        Hello = 1, HelloRequest => HelloReply, Answered, Any;
        /// Topics with their partitions, and the shard that owns each.
        Metadata = 2, MetadataRequest => MetadataReply, Answered, Any;
        /// Appends one record batch to a group.
        Produce = 3, ProduceRequest => ProduceReply, AnsweredUnlessAsked, Owner;
        /// Reads batches once, waiting a while when there are none.
        Fetch = 4, FetchRequest => FetchReply, Answered, Owner;
        /// The offset of a time, or of an end of the log.
        ListOffsets = 5, ListOffsetsRequest => ListOffsetsReply, Answered, Owner;
        /// Asks for batches to be pushed as they come.
        Subscribe = 6, SubscribeRequest => SubscribeReply, Answered, Owner;
        /// Allows more bytes to be pushed.
        Credit = 7, CreditRequest => Empty, Unanswered, Any;
        /// Ends a subscription; nothing of it comes behind the reply.
        Unsubscribe = 8, UnsubscribeRequest => Empty, Answered, Any;
        /// Creates a topic.
        CreateTopic = 9, CreateTopicRequest => CreateTopicReply, Answered, First;
        /// Deletes a topic and its records.
        DeleteTopic = 10, DeleteTopicRequest => MetadataVersion, Answered, First;
        /// Changes a topic's settings, all or none.
        AlterTopic = 11, AlterTopicRequest => MetadataVersion, Answered, First;
        /// Moves a group's log start forward; the records below are gone.
        Trim = 12, TrimRequest => TrimReply, Answered, Owner;
        /// Keeps how far a named subscription has got.
        CommitPositions = 13, CommitPositionsRequest => Empty, Answered, First;
        /// Tells how far a named subscription has got.
        FetchPositions = 14, FetchPositionsRequest => FetchPositionsReply, Answered, First;
        /// The names of all subscriptions.
        ListSubscriptions = 15, ListSubscriptionsRequest => ListSubscriptionsReply, Answered, First;
        /// Forgets a named subscription.
        DeleteSubscription = 16, DeleteSubscriptionRequest => Empty, Answered, First;
        /// Gives a producer its id, for appends without repeats.
        InitProducer = 17, InitProducerRequest => InitProducerReply, Answered, First;
        /// The state of groups, each with its own code.
        Describe = 18, DescribeRequest => DescribeReply, Answered, Any;
        /// Nothing but a reply.
        Ping = 19, PingRequest => Empty, Answered, Any;
        /// The node's state, for people and monitors.
        Status = 20, StatusRequest => StatusReply, Answered, Any;
    }
    pushes {
        /// Batches of a subscription; the correlation is its handle.
        Push = 0x4001;
        /// A subscription has ended; the correlation is its handle.
        PushEnd = 0x4002;
    }
}

impl FrameKind {
    /// Its row in the table.
    pub fn row(self) -> &'static KindRow {
        KINDS.iter().find(|row| row.kind == self).expect("every kind has a row")
    }

    /// Its number as a request or push.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The number of its reply.
    pub fn reply_number(self) -> u16 {
        self.number() | REPLY_BIT
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

#[cold]
fn unknown(kind: u16) -> Error {
    Error::new(Code::Unsupported, format!("frame kind {kind:#06x} is no request of this protocol version"))
}
