//! Asks a node single questions over the shipped connection core: topics, trims, fetches, descriptions. One question
//! at a time on a connection per shard; it says what came of a question and never asks twice by itself.

use super::{NATIVE, moment};
use bytes::{Buf, Bytes, BytesMut};
use flumen_client::core::connection::{Connection, Event};
use flumen_io::local::timeout;
use flumen_io::mem::{MemHost, MemStream};
use flumen_io::{Host, Read, Stream};
use flumen_model::{Error, GroupId, Kind, ShardId};
use flumen_wire::{Acks, ProduceReply, Request, decode_reply};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a question may take before its connection is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The wait between two tries of [`Asker::insist`].
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The node's answer.
    Got(T),
    /// The node's refusal: it has not done it.
    Refused(Error),
    /// The connection was lost, or never there: the node may have done it or not.
    Lost,
}

impl<T> Answer<T> {
    /// The answer, when there is one.
    pub fn got(self) -> Option<T> {
        match self {
            Answer::Got(reply) => Some(reply),
            Answer::Refused(_) | Answer::Lost => None,
        }
    }
}

struct Link {
    stream: MemStream,
    connection: Connection,
}

/// The end of a connection, for whatever reason.
struct Broken;

/// Somebody who asks.
pub struct Asker {
    host: MemHost,
    name: String,
    links: BTreeMap<ShardId, Link>,
}

impl Asker {
    /// Somebody who has not asked yet.
    pub fn new(host: &MemHost, name: &str) -> Asker {
        Asker { host: host.clone(), name: name.to_string(), links: BTreeMap::new() }
    }

    /// Asks once.
    pub async fn ask<R: Request>(&mut self, shard: ShardId, request: &R) -> Answer<R::Reply> {
        let send = |connection: &mut Connection| connection.send(request);
        match self.exchange(shard, send).await {
            Ok(Event::Reply { body, .. }) => answer(decode_reply::<R>(&body)),
            _ => Answer::Lost,
        }
    }

    /// Sends one batch and waits for its ack.
    pub async fn produce(&mut self, shard: ShardId, group: GroupId, batch: Bytes) -> Answer<ProduceReply> {
        let send = |connection: &mut Connection| Ok(connection.send_batch(group, Acks::Quorum, batch));
        match self.exchange(shard, send).await {
            Ok(Event::Appended { result, .. }) => answer(result),
            _ => Answer::Lost,
        }
    }

    /// Asks what may be asked twice until there is an answer, or a refusal that no time will change.
    pub async fn insist<R: Request>(
        &mut self,
        shard: ShardId,
        request: &R,
        within: Duration,
    ) -> Answer<R::Reply> {
        let until = moment(&self.host).plus(within);
        loop {
            let answer = self.ask(shard, request).await;
            let passing = match &answer {
                Answer::Got(_) => false,
                Answer::Refused(error) => matches!(error.kind(), Kind::Retry | Kind::Closed),
                Answer::Lost => true,
            };
            if !passing || moment(&self.host) >= until {
                return answer;
            }
            self.host.sleep(TRY_AGAIN_AFTER).await;
        }
    }

    async fn exchange(
        &mut self,
        shard: ShardId,
        send: impl FnOnce(&mut Connection) -> flumen_model::Result<u32>,
    ) -> Result<Event, Broken> {
        let host = self.host.clone();
        // A question that is given up leaves nothing behind that could be taken for the next one's answer.
        let mut link = match self.links.remove(&shard) {
            Some(link) => link,
            None => timeout(&host, ANSWER_WITHIN, self.open(shard)).await.map_err(|_| Broken)??,
        };
        send(&mut link.connection).map_err(|_| Broken)?;
        let event = timeout(&host, ANSWER_WITHIN, link.event()).await.map_err(|_| Broken)??;
        self.links.insert(shard, link);
        Ok(event)
    }

    async fn open(&self, shard: ShardId) -> Result<Link, Broken> {
        let address = NATIVE.parse().expect("a constant address");
        let stream = self.host.connect(address).await.map_err(|_| Broken)?;
        let connection = Connection::open(&self.name, Some(shard)).expect("a short name");
        let mut link = Link { stream, connection };
        match link.event().await? {
            Event::Opened(hello) if hello.shard == shard => Ok(link),
            _ => Err(Broken),
        }
    }
}

impl Link {
    /// Writes what is queued, and waits for what comes.
    async fn event(&mut self) -> Result<Event, Broken> {
        let out = self.connection.outgoing();
        let mut slices = Vec::new();
        while out.has_remaining() {
            slices.push(out.copy_to_bytes(out.chunk().len()));
        }
        if !slices.is_empty() {
            self.stream.write(slices).await.0.map_err(|_| Broken)?;
        }
        loop {
            if let Some(event) = self.connection.next_event().map_err(nonsense_or_broken)? {
                return Ok(event);
            }
            let (read, buf) = self.stream.read(BytesMut::with_capacity(64 * 1024)).await;
            match read {
                Ok(Read::Bytes(_)) => self.take(&buf),
                Ok(Read::End) | Err(_) => return Err(Broken),
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.connection.room();
            let part = room.len().min(bytes.len());
            room[..part].copy_from_slice(&bytes[..part]);
            self.connection.received(part);
            bytes = &bytes[part..];
        }
    }
}

fn nonsense_or_broken(error: Error) -> Broken {
    super::no_nonsense(&error);
    Broken
}

fn answer<T>(result: flumen_model::Result<T>) -> Answer<T> {
    match result {
        Ok(reply) => Answer::Got(reply),
        Err(error) => Answer::Refused(error),
    }
}
