//! The tokio admin: topics, offsets, subscriptions and the node's state. Questions may be asked side by side.

use crate::core::admin::{self, AdminEngine, Ask, Subscription, TopicDescription};
use crate::core::calls::CallId;
use crate::settings::Settings;
use crate::tokio_face::shared::{Face, Owner, Shared, closed};
use bytes::Bytes;
use flumen_model::{Error, Offset, PartitionNumber, Result, ShardId, TopicId};
use flumen_wire::*;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Who waits for answers.
#[derive(Default)]
pub(crate) struct Desk {
    calls: BTreeMap<CallId, oneshot::Sender<Result<Bytes>>>,
}

impl Face for AdminEngine {
    type Desk = Desk;

    fn deliver(&mut self, desk: &mut Desk) {
        while let Some((call, result)) = self.next_answer() {
            if let Some(caller) = desk.calls.remove(&call) {
                // The caller may have stopped waiting.
                let _ = caller.send(result);
            }
        }
    }

    fn end(desk: &mut Desk, error: &Error) {
        for (_, caller) in std::mem::take(&mut desk.calls) {
            let _ = caller.send(Err(error.clone()));
        }
    }
}

/// An operator's hand. Get one from [`Client::admin`](crate::Client::admin).
pub struct Admin {
    owner: Owner<AdminEngine>,
}

impl Admin {
    pub(crate) fn new(addr: &str, settings: Settings) -> Result<Admin> {
        Ok(Admin { owner: Owner(Shared::start(addr, AdminEngine::new(settings)?)?) })
    }

    async fn ask<R: Request + Send + 'static>(&self, ask: Ask<R>) -> Result<R::Reply> {
        let (caller, answer) = oneshot::channel();
        self.owner.0.act(|engine, desk, now| {
            let call = engine.ask(ask, now);
            desk.calls.insert(call, caller);
        });
        decode_reply::<R>(&answer.await.unwrap_or_else(|_| Err(closed()))?)
    }

    /// Creates a topic. Settings are Kafka's; all others have their defaults.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        settings: &[(&str, &str)],
    ) -> Result<TopicId> {
        Ok(self.ask(admin::create_topic(name, partitions, settings)).await?.id)
    }

    /// Changes settings of a topic, all or none. An empty value goes back to the default.
    pub async fn alter_topic(&self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        self.ask(admin::alter_topic(name, settings)).await.map(drop)
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        self.ask(admin::delete_topic(name)).await.map(drop)
    }

    /// All topics with their partitions and who owns each.
    pub async fn list_topics(&self) -> Result<Vec<TopicMetadata>> {
        Ok(self.ask(admin::metadata(&[])).await?.topics)
    }

    /// One topic with its partitions and who owns each.
    pub async fn topic(&self, name: &str) -> Result<TopicMetadata> {
        admin::one_topic(name, self.ask(admin::metadata(&[name])).await?)
    }

    /// One topic with the state of its partitions.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription> {
        let topic = self.topic(name).await?;
        let mut groups = Vec::new();
        for (shard, of_shard) in admin::groups_by_shard(&topic) {
            groups.extend(self.ask(admin::describe(shard, of_shard)).await?.groups);
        }
        admin::described(topic, groups)
    }

    /// Deletes a partition's records below an offset. Returns the first that is left.
    pub async fn trim(&self, topic: &str, partition: u32, before: Offset) -> Result<Offset> {
        let group = admin::group_of(&self.topic(topic).await?, PartitionNumber(partition))?;
        Ok(self.ask(admin::trim(topic, group, before)).await?.log_start)
    }

    /// The offset of a time, or of an end of a partition; none when no record is that late.
    pub async fn offset(&self, topic: &str, partition: u32, of: OffsetOf) -> Result<Option<Offset>> {
        let group = admin::group_of(&self.topic(topic).await?, PartitionNumber(partition))?;
        Ok(self.ask(admin::list_offsets(topic, group, of)).await?.offset)
    }

    /// The names of all subscriptions.
    pub async fn list_subscriptions(&self) -> Result<Vec<String>> {
        Ok(self.ask(admin::list_subscriptions()).await?.names)
    }

    /// A subscription's positions.
    pub async fn describe_subscription(&self, name: &str) -> Result<Subscription> {
        let positions = self.ask(admin::fetch_positions(name)).await?.positions;
        let topics = self.ask(admin::metadata(&[])).await?;
        Ok(admin::named_positions(name, &topics, positions))
    }

    /// Moves a subscription in all partitions of a topic to a time or an end. It goes on from there when it starts
    /// anew. Where no record is that late, it moves to the end.
    pub async fn reset_subscription(&self, name: &str, topic: &str, to: OffsetOf) -> Result<()> {
        let metadata = self.topic(topic).await?;
        let mut positions = Vec::new();
        for partition in &metadata.partitions {
            let mut found = self.ask(admin::list_offsets(topic, partition.group, to)).await?.offset;
            if found.is_none() {
                found = self.ask(admin::list_offsets(topic, partition.group, OffsetOf::Latest)).await?.offset;
            }
            positions.extend(found.map(|offset| admin::reset_position(partition, offset)));
        }
        self.ask(admin::commit_positions(name, positions)).await.map(drop)
    }

    /// Forgets a subscription and its positions.
    pub async fn delete_subscription(&self, name: &str) -> Result<()> {
        self.ask(admin::delete_subscription(name)).await.map(drop)
    }

    /// The state of each shard, as JSON objects.
    pub async fn status(&self) -> Result<Vec<String>> {
        let first = self.ask(admin::status(ShardId(0))).await?.json;
        let mut all = vec![first];
        // Not in the loop's head, where the lock would be held across the waits.
        let shards = self.owner.0.lock().engine.shards();
        for shard in 1..shards {
            all.push(self.ask(admin::status(ShardId(shard))).await?.json);
        }
        Ok(all)
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("addr", &self.owner.0.addr).finish_non_exhaustive()
    }
}
