//! What an operator asks of a node, each question with the shard that answers it and whether it may be asked twice.
//! The engine only carries questions and answers.

use crate::core::calls::{CallId, OnLoss, Route};
use crate::core::moment::Moment;
use crate::core::session::{Engine, Notice, Session};
use crate::settings::Settings;
use bytes::Bytes;
use flumen_model::{Code, Error, GroupId, Offset, PartitionNumber, Result, ShardId, TopicId};
use flumen_wire::*;
use std::collections::{BTreeMap, VecDeque};

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Ask<R> {
    request: R,
    route: Route,
    on_loss: OnLoss,
}

const FIRST: Route = Route::Shard(ShardId(0));

fn again<R: Request>(request: R, route: Route) -> Ask<R> {
    Ask { request, route, on_loss: OnLoss::Again }
}

pub(crate) fn create_topic(
    name: &str,
    partitions: u32,
    settings: &[(&str, &str)],
) -> Ask<CreateTopicRequest> {
    let request = CreateTopicRequest { name: name.to_string(), partitions, settings: owned(settings) };
    Ask { request, route: FIRST, on_loss: OnLoss::Tell }
}

pub(crate) fn delete_topic(name: &str) -> Ask<DeleteTopicRequest> {
    Ask { request: DeleteTopicRequest { name: name.to_string() }, route: FIRST, on_loss: OnLoss::Tell }
}

pub(crate) fn alter_topic(name: &str, settings: &[(&str, &str)]) -> Ask<AlterTopicRequest> {
    again(AlterTopicRequest { name: name.to_string(), settings: owned(settings) }, FIRST)
}

/// Of these topics; of all when there is none.
pub(crate) fn metadata(topics: &[&str]) -> Ask<MetadataRequest> {
    again(MetadataRequest { topics: topics.iter().map(|name| name.to_string()).collect() }, FIRST)
}

pub(crate) fn trim(topic: &str, group: GroupId, before_offset: Offset) -> Ask<TrimRequest> {
    again(TrimRequest { group, before_offset }, owner(topic, group))
}

pub(crate) fn list_offsets(topic: &str, group: GroupId, of: OffsetOf) -> Ask<ListOffsetsRequest> {
    again(ListOffsetsRequest { group, of }, owner(topic, group))
}

pub(crate) fn describe(shard: ShardId, groups: Vec<GroupId>) -> Ask<DescribeRequest> {
    again(DescribeRequest { groups }, Route::Shard(shard))
}

pub(crate) fn status(shard: ShardId) -> Ask<StatusRequest> {
    again(StatusRequest {}, Route::Shard(shard))
}

pub(crate) fn list_subscriptions() -> Ask<ListSubscriptionsRequest> {
    again(ListSubscriptionsRequest {}, FIRST)
}

pub(crate) fn fetch_positions(name: &str) -> Ask<FetchPositionsRequest> {
    again(FetchPositionsRequest { subscription: name.to_string() }, FIRST)
}

pub(crate) fn commit_positions(name: &str, positions: Vec<Position>) -> Ask<CommitPositionsRequest> {
    again(CommitPositionsRequest { subscription: name.to_string(), positions }, FIRST)
}

pub(crate) fn delete_subscription(name: &str) -> Ask<DeleteSubscriptionRequest> {
    Ask {
        request: DeleteSubscriptionRequest { subscription: name.to_string() },
        route: FIRST,
        on_loss: OnLoss::Tell,
    }
}

fn owner(topic: &str, group: GroupId) -> Route {
    Route::Owner { topic: topic.to_string(), group }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Carries questions and answers.
#[derive(Debug)]
pub struct AdminEngine {
    session: Session,
    answers: VecDeque<(CallId, Result<Bytes>)>,
}

impl AdminEngine {
    /// An engine that was asked nothing.
    pub fn new(settings: Settings) -> Result<AdminEngine> {
        Ok(AdminEngine { session: Session::new(settings)?, answers: VecDeque::new() })
    }

    /// How many shards the node has; 0 before the first answer.
    pub fn shards(&self) -> u16 {
        self.session.shards()
    }

    pub(crate) fn ask<R: Request + Send + 'static>(&mut self, ask: Ask<R>, now: Moment) -> CallId {
        self.session.call(ask.request, ask.route, ask.on_loss, now)
    }

    pub(crate) fn next_answer(&mut self) -> Option<(CallId, Result<Bytes>)> {
        self.answers.pop_front()
    }
}

impl Engine for AdminEngine {
    fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn work(&mut self, now: Moment) {
        while let Some(notice) = self.session.next_notice(now) {
            // An admin has nothing else under way; fresh routes let calls go by themselves.
            if let Notice::Answered { call, result } = notice {
                self.answers.push_back((call, result));
            }
        }
        self.session.routes().forget_absent();
    }

    fn deadline(&self, now: Moment) -> Option<Moment> {
        self.session.deadline(now)
    }
}

/// A topic and its partitions' state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: TopicId,
    /// What was set for it, by Kafka's key names.
    pub settings: Vec<(String, String)>,
    /// Its partitions, by number: the shard that owns each, and its state.
    pub partitions: Vec<(ShardId, GroupDescription)>,
}

/// A named subscription's positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// Its positions by topic and partition. Positions of deleted topics are not shown.
    pub positions: Vec<(String, PartitionNumber, CommittedPosition)>,
}

/// The one topic that was asked for.
pub(crate) fn one_topic(name: &str, reply: MetadataReply) -> Result<TopicMetadata> {
    let found = reply.topics.into_iter().find(|topic| topic.name == name);
    found.ok_or_else(|| Error::new(Code::UnknownTopic, format!("there is no topic {name}: create it first")))
}

/// The group of a partition.
pub(crate) fn group_of(topic: &TopicMetadata, number: PartitionNumber) -> Result<GroupId> {
    let found = topic.partitions.get(number.0 as usize).map(|partition| partition.group);
    found.ok_or_else(|| {
        let count = topic.partitions.len();
        let message =
            format!("topic {} has {count} partitions, numbered from 0; there is no {number}", topic.name);
        Error::new(Code::UnknownTopic, message)
    })
}

/// A topic's groups by the shard to ask.
pub(crate) fn groups_by_shard(topic: &TopicMetadata) -> BTreeMap<ShardId, Vec<GroupId>> {
    let mut by_shard: BTreeMap<ShardId, Vec<GroupId>> = BTreeMap::new();
    for partition in &topic.partitions {
        by_shard.entry(partition.shard).or_default().push(partition.group);
    }
    by_shard
}

/// Puts a topic's description together from what the shards said.
pub(crate) fn described(topic: TopicMetadata, groups: Vec<GroupDescription>) -> Result<TopicDescription> {
    let by_group: BTreeMap<GroupId, GroupDescription> =
        groups.into_iter().map(|description| (description.group, description)).collect();
    let one = |partition: &PartitionMetadata| {
        let description = by_group.get(&partition.group).cloned();
        description.map(|description| (partition.shard, description)).ok_or_else(|| {
            Error::new(Code::InvalidRequest, format!("the node did not describe group {}", partition.group))
        })
    };
    let partitions = topic.partitions.iter().map(one).collect::<Result<_>>()?;
    Ok(TopicDescription { name: topic.name, id: topic.id, settings: topic.settings, partitions })
}

/// A position that somebody set by hand.
pub(crate) fn reset_position(partition: &PartitionMetadata, offset: Offset) -> Position {
    Position { group: partition.group, offset, leader_epoch: partition.leader_epoch, metadata: String::new() }
}

/// Names the positions of a subscription by topic and partition.
pub(crate) fn named_positions(
    name: &str,
    topics: &MetadataReply,
    positions: Vec<CommittedPosition>,
) -> Subscription {
    let places: BTreeMap<GroupId, (&str, usize)> = topics
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().enumerate().map(|(number, one)| (one.group, (&topic.name[..], number)))
        })
        .collect();
    let named = |position: CommittedPosition| {
        let &(topic, number) = places.get(&position.group)?;
        Some((topic.to_string(), PartitionNumber(number as u32), position))
    };
    Subscription { name: name.to_string(), positions: positions.into_iter().filter_map(named).collect() }
}
