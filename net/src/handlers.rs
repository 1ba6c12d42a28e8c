//! The requests beside produce, one function each: a frame's body in, the reply's frames out. What needs a wait
//! runs in a task of its own and keeps its place among the replies.

use crate::connection::Connection;
use crate::reader::unexpected;
use bytes::{Bytes, BytesMut};
use flumen_engine::metadata::Topic;
use flumen_engine::{Partition, positions};
use flumen_io::Host;
use flumen_io::local::{Notify, select2, timeout};
use flumen_model::limits::POSITIONS_BYTES_MAX;
use flumen_model::{Code, Error, GroupId, Offset, Result, UnixMillis};
use flumen_wire::*;
use std::rc::Rc;
use std::time::Duration;

/// Groups that one describe request may name.
const DESCRIBE_MAX: usize = 20_000;
/// The longest wait of a fetch.
const FETCH_WAIT_MS_MAX: u32 = 60_000;

fn reply<R: Request>(correlation: u32, body: &R::Reply) -> Vec<Bytes> {
    let mut out = BytesMut::new();
    encode_reply::<R>(correlation, body, &mut out);
    vec![out.freeze()]
}

impl<H: Host> Connection<H> {
    /// Handles any request but produce.
    pub(crate) fn handle_any(self: &Rc<Self>, header: FrameHeader, body: Bytes) -> Result<()> {
        let correlation = header.correlation();
        let kind = match FrameKind::of_number(header.kind()) {
            Some((kind, Role::Request)) => kind,
            // There is no telling what the peer waits for: end it, and say why.
            _ => return AnyRequest::decode(header.kind(), &body).map(|_| ()),
        };
        let request = match AnyRequest::decode(header.kind(), &body) {
            Ok(AnyRequest::Credit(credit)) => {
                self.credit(credit.handle, credit.credit_bytes);
                return Ok(());
            }
            Ok(request) => request,
            Err(error) => {
                let slot = self.out(|out| out.promise(kind, correlation));
                self.refuse(slot, &error);
                return Ok(());
            }
        };
        let slot = self.out(|out| out.promise(kind, correlation));
        match self.answer_now(correlation, &request) {
            Some(answer) => self.answer(slot, answer),
            None => {
                let this = self.clone();
                drop(self.shard.host().spawn(async move {
                    let answer = this.answer_later(slot, correlation, request).await;
                    if !this.is_closed() {
                        this.answer(slot, answer);
                    }
                }));
            }
        }
        Ok(())
    }

    /// The answer to what needs no wait.
    fn answer_now(self: &Rc<Self>, correlation: u32, request: &AnyRequest) -> Option<Result<Vec<Bytes>>> {
        Some(match request {
            AnyRequest::Hello(_) => Err(unexpected(FrameKind::Hello)),
            AnyRequest::Ping(_) => Ok(reply::<PingRequest>(correlation, &Empty)),
            AnyRequest::Metadata(request) => {
                Ok(reply::<MetadataRequest>(correlation, &self.metadata(request)))
            }
            AnyRequest::Subscribe(request) => {
                self.subscribe(request).map(|body| reply::<SubscribeRequest>(correlation, &body))
            }
            AnyRequest::Unsubscribe(request) => {
                self.unsubscribe(request.handle);
                Ok(reply::<UnsubscribeRequest>(correlation, &Empty))
            }
            AnyRequest::Describe(request) => {
                self.describe(request).map(|body| reply::<DescribeRequest>(correlation, &body))
            }
            AnyRequest::FetchPositions(request) => {
                self.fetch_positions(request).map(|body| reply::<FetchPositionsRequest>(correlation, &body))
            }
            AnyRequest::ListSubscriptions(_) => {
                self.list_subscriptions().map(|body| reply::<ListSubscriptionsRequest>(correlation, &body))
            }
            AnyRequest::Status(_) => {
                let json = crate::server::status_json(&self.shard);
                Ok(reply::<StatusRequest>(correlation, &StatusReply { json }))
            }
            _ => return None,
        })
    }

    /// The answer to what waits for a commit, a disk or a record.
    async fn answer_later(
        self: &Rc<Self>,
        slot: u64,
        correlation: u32,
        request: AnyRequest,
    ) -> Result<Vec<Bytes>> {
        match request {
            AnyRequest::Fetch(request) => {
                let bytes_max = (request.bytes_max as usize).min(flumen_model::limits::BATCH_BYTES_HARD_MAX);
                self.wait_turn(slot, bytes_max).await;
                let answer = self.fetch(correlation, &request, bytes_max).await;
                self.fetched(bytes_max);
                answer
            }
            AnyRequest::ListOffsets(request) => {
                Ok(reply::<ListOffsetsRequest>(correlation, &self.list_offsets(&request).await?))
            }
            AnyRequest::Trim(request) => {
                let log_start = self.shard.trim(request.group, request.before_offset).await?;
                Ok(reply::<TrimRequest>(correlation, &TrimReply { log_start }))
            }
            AnyRequest::CreateTopic(request) => {
                let topic = self
                    .shard
                    .create_topic(&request.name, request.partitions, pairs(&request.settings))
                    .await?;
                let body = CreateTopicReply { id: topic.id, metadata_version: self.metadata_version() };
                Ok(reply::<CreateTopicRequest>(correlation, &body))
            }
            AnyRequest::AlterTopic(request) => {
                self.shard.alter_topic(&request.name, pairs(&request.settings)).await?;
                Ok(reply::<AlterTopicRequest>(correlation, &self.version_body()))
            }
            AnyRequest::DeleteTopic(request) => {
                self.shard.delete_topic(&request.name).await?;
                Ok(reply::<DeleteTopicRequest>(correlation, &self.version_body()))
            }
            AnyRequest::CommitPositions(request) => {
                self.commit_positions(request).await?;
                Ok(reply::<CommitPositionsRequest>(correlation, &Empty))
            }
            AnyRequest::DeleteSubscription(request) => {
                let name = positions::SubscriptionName::new(&request.subscription)?;
                self.shard
                    .position_command(&positions::Command::DeleteSubscription { subscription: name })
                    .await?;
                Ok(reply::<DeleteSubscriptionRequest>(correlation, &Empty))
            }
            AnyRequest::InitProducer(_) => {
                let producer_id = self.shard.new_producer().await?;
                let body = InitProducerReply { producer_id, producer_epoch: 0 };
                Ok(reply::<InitProducerRequest>(correlation, &body))
            }
            other => Err(unexpected(other.kind())),
        }
    }

    fn metadata_version(&self) -> u64 {
        self.shard.view().version()
    }

    fn version_body(&self) -> MetadataVersion {
        MetadataVersion { metadata_version: self.metadata_version() }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataReply {
        let view = self.shard.view();
        let topics = match request.topics.is_empty() {
            true => view.topics().map(|topic| self.topic_metadata(topic)).collect(),
            false => {
                let found = request.topics.iter().filter_map(|name| view.topic(name));
                found.map(|topic| self.topic_metadata(topic)).collect()
            }
        };
        MetadataReply { metadata_version: view.version(), topics }
    }

    fn topic_metadata(&self, topic: &Topic) -> TopicMetadata {
        let partition = |partition: &flumen_engine::metadata::Partition| PartitionMetadata {
            group: partition.group,
            shard: partition.shard,
            leader_epoch: self
                .shard
                .partition(partition.group)
                .map_or(partition.leader_epoch_base, |own| own.leader_epoch().0),
        };
        TopicMetadata {
            name: topic.name.as_str().to_string(),
            id: topic.id,
            internal: false,
            settings: topic.settings.pairs().map(|(key, value)| (key.to_string(), value)).collect(),
            partitions: topic.partitions.iter().map(partition).collect(),
        }
    }

    fn describe(&self, request: &DescribeRequest) -> Result<DescribeReply> {
        if request.groups.len() > DESCRIBE_MAX {
            let message = format!("at most {DESCRIBE_MAX} groups are described at once: ask in parts");
            return Err(Error::new(Code::InvalidRequest, message));
        }
        let full = self.shard.log().is_full();
        let one = |&group: &GroupId| match self.shard.partition(group) {
            Ok(partition) => described(&partition, full),
            Err(error) => undescribed(group, error.code),
        };
        Ok(DescribeReply { groups: request.groups.iter().map(one).collect() })
    }

    async fn list_offsets(&self, request: &ListOffsetsRequest) -> Result<ListOffsetsReply> {
        let partition = self.shard.partition(request.group)?;
        let time = match request.of {
            OffsetOf::Latest => -1,
            OffsetOf::Earliest => -2,
            OffsetOf::MaxTimestamp => -3,
            OffsetOf::Time(time) => time.0,
        };
        let found = self.shard.offset_for_time(&partition, time).await?;
        let timestamp = Some(found.timestamp).filter(|timestamp| timestamp.0 >= 0);
        Ok(ListOffsetsReply { offset: found.offset, timestamp })
    }

    /// Waits for the minimum of bytes or the end of the time, then answers with what there is.
    async fn fetch(
        self: &Rc<Self>,
        correlation: u32,
        request: &FetchRequest,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>> {
        let partition = self.shard.partition(request.group)?;
        let host = self.shard.host();
        let until = host.now().plus(Duration::from_millis(u64::from(request.wait_ms.min(FETCH_WAIT_MS_MAX))));
        let waker = Rc::new(Moved(Notify::new()));
        let watcher: Rc<dyn flumen_engine::Watcher> = waker.clone();
        partition.watch(watcher.clone(), 0);
        let result = loop {
            let moved = waker.0.notified();
            let batches = match self.shard.read(&partition, request.offset, bytes_max).await {
                Ok(batches) => batches,
                Err(error) => break Err(error),
            };
            let bytes: usize = batches.iter().map(Bytes::len).sum();
            let left = until.since(host.now());
            let enough = bytes >= (request.bytes_min as usize).min(bytes_max);
            let news = select2(moved, self.ended.notified());
            if enough || left.is_zero() || self.is_closed() || timeout(host, left, news).await.is_err() {
                break Ok((batches, bytes));
            }
        };
        partition.unwatch(&watcher, 0);
        let (batches, bytes) = result?;
        let head = FetchReplyHead::new(partition.high_watermark(), partition.log_start());
        let mut out = BytesMut::new();
        encode_fetch_reply_header(correlation, head, bytes, &mut out);
        Ok(std::iter::once(out.freeze()).chain(batches).collect())
    }

    async fn commit_positions(&self, request: CommitPositionsRequest) -> Result<()> {
        let view = self.shard.view();
        let entry = |position: Position| {
            let home = view.home(position.group).ok_or_else(|| {
                let message = format!("there is no group {}: refresh the metadata", position.group);
                Error::new(Code::UnknownTopic, message)
            })?;
            Ok(positions::Entry {
                topic: home.topic,
                partition: home.partition,
                offset: position.offset,
                leader_epoch: i32::try_from(position.leader_epoch).unwrap_or(i32::MAX),
                metadata: position.metadata.into(),
            })
        };
        let entries = request.positions.into_iter().map(entry).collect::<Result<Vec<_>>>()?;
        let subscriptions_max = u32::try_from(self.shard.limits().subscriptions_max).unwrap_or(u32::MAX);
        let command = positions::Command::Commit(positions::Commit {
            subscription: positions::SubscriptionName::new(&request.subscription)?,
            time: UnixMillis(self.shard.host().wall_ms()),
            bounds: positions::Bounds { subscriptions_max, state_bytes_max: POSITIONS_BYTES_MAX },
            entries,
        });
        self.shard.position_command(&command).await.map(|_| ())
    }

    fn fetch_positions(&self, request: &FetchPositionsRequest) -> Result<FetchPositionsReply> {
        let control = self.shard.control_or_refuse()?;
        let view = self.shard.view();
        control.positions.read(|machine| {
            let subscription = machine.subscription(&request.subscription).ok_or_else(|| {
                let message = format!(
                    "there is no subscription {}: it begins with its first commit",
                    request.subscription
                );
                Error::new(Code::UnknownSubscription, message)
            })?;
            let positions = subscription
                .positions()
                .filter_map(|(topic, number, position)| {
                    let group = view.topic_by_id(topic)?.partition(number)?.group;
                    Some(CommittedPosition {
                        group,
                        offset: position.offset,
                        leader_epoch: u32::try_from(position.leader_epoch).unwrap_or(0),
                        commit_time: position.time,
                        metadata: position.metadata.to_string(),
                    })
                })
                .collect();
            Ok(FetchPositionsReply { positions })
        })?
    }

    fn list_subscriptions(&self) -> Result<ListSubscriptionsReply> {
        let control = self.shard.control_or_refuse()?;
        let names = control
            .positions
            .read(|machine| machine.subscriptions().map(|(name, _)| name.as_str().to_string()).collect())?;
        Ok(ListSubscriptionsReply { names })
    }
}

struct Moved(Notify);

impl flumen_engine::Watcher for Moved {
    fn moved(&self, _: u64) {
        self.0.notify_all();
    }
}

fn pairs(settings: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

fn described<H: Host>(partition: &Partition<H>, full: bool) -> GroupDescription {
    let damaged = partition.damaged();
    GroupDescription {
        group: partition.group(),
        error: None,
        log_start: partition.log_start(),
        high_watermark: partition.high_watermark(),
        log_end: partition.log_end(),
        bytes: partition.bytes(),
        leader_epoch: partition.leader_epoch().0,
        state: match (damaged, full) {
            (Some(_), _) => GroupState::Damaged,
            (None, true) => GroupState::Full,
            (None, false) => GroupState::Healthy,
        },
        damaged_from: damaged.map(|damaged| damaged.from),
    }
}

fn undescribed(group: GroupId, code: Code) -> GroupDescription {
    let zero = Offset(0);
    GroupDescription {
        group,
        error: Some(code),
        log_start: zero,
        high_watermark: zero,
        log_end: zero,
        bytes: 0,
        leader_epoch: 0,
        state: GroupState::Healthy,
        damaged_from: None,
    }
}
