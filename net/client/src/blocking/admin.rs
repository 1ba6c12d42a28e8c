//! The blocking admin: topics, offsets, subscriptions and the node's state, one question at a time.

use crate::blocking::driver::Driver;
use crate::core::admin::{self, AdminEngine, Ask, Subscription, TopicDescription};
use crate::settings::Settings;
use flumen_model::{Offset, PartitionNumber, Result, ShardId, TopicId};
use flumen_wire::*;

/// An operator's hand. Get one from [`Client::admin`](crate::blocking::Client::admin).
#[derive(Debug)]
pub struct Admin {
    driver: Driver<AdminEngine>,
}

impl Admin {
    pub(crate) fn new(addr: &str, settings: Settings) -> Result<Admin> {
        Ok(Admin { driver: Driver::new(addr, AdminEngine::new(settings)?) })
    }

    fn ask<R: Request + Send + 'static>(&mut self, ask: Ask<R>) -> Result<R::Reply> {
        let now = self.driver.now();
        let call = self.driver.engine().ask(ask, now);
        let answer = self.driver.run(None, |engine, _| {
            std::iter::from_fn(|| engine.next_answer()).find(|(answered, _)| *answered == call)
        });
        let (_, body) = answer.expect("without a limit the wait ends with an answer: calls have deadlines");
        decode_reply::<R>(&body?)
    }

    /// Creates a topic. Settings are Kafka's; all others have their defaults.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: u32,
        settings: &[(&str, &str)],
    ) -> Result<TopicId> {
        Ok(self.ask(admin::create_topic(name, partitions, settings))?.id)
    }

    /// Changes settings of a topic, all or none. An empty value goes back to the default.
    pub fn alter_topic(&mut self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        self.ask(admin::alter_topic(name, settings)).map(drop)
    }

    /// Deletes a topic and its records.
    pub fn delete_topic(&mut self, name: &str) -> Result<()> {
        self.ask(admin::delete_topic(name)).map(drop)
    }

    /// All topics with their partitions and who owns each.
    pub fn list_topics(&mut self) -> Result<Vec<TopicMetadata>> {
        Ok(self.ask(admin::metadata(&[]))?.topics)
    }

    /// One topic with its partitions and who owns each.
    pub fn topic(&mut self, name: &str) -> Result<TopicMetadata> {
        admin::one_topic(name, self.ask(admin::metadata(&[name]))?)
    }

    /// One topic with the state of its partitions.
    pub fn describe_topic(&mut self, name: &str) -> Result<TopicDescription> {
        let topic = self.topic(name)?;
        let mut groups = Vec::new();
        for (shard, of_shard) in admin::groups_by_shard(&topic) {
            groups.extend(self.ask(admin::describe(shard, of_shard))?.groups);
        }
        admin::described(topic, groups)
    }

    /// Deletes a partition's records below an offset. Returns the first that is left.
    pub fn trim(&mut self, topic: &str, partition: u32, before: Offset) -> Result<Offset> {
        let group = admin::group_of(&self.topic(topic)?, PartitionNumber(partition))?;
        Ok(self.ask(admin::trim(topic, group, before))?.log_start)
    }

    /// The offset of a time, or of an end of a partition; none when no record is that late.
    pub fn offset(&mut self, topic: &str, partition: u32, of: OffsetOf) -> Result<Option<Offset>> {
        let group = admin::group_of(&self.topic(topic)?, PartitionNumber(partition))?;
        Ok(self.ask(admin::list_offsets(topic, group, of))?.offset)
    }

    /// The names of all subscriptions.
    pub fn list_subscriptions(&mut self) -> Result<Vec<String>> {
        Ok(self.ask(admin::list_subscriptions())?.names)
    }

    /// A subscription's positions.
    pub fn describe_subscription(&mut self, name: &str) -> Result<Subscription> {
        let positions = self.ask(admin::fetch_positions(name))?.positions;
        let topics = self.ask(admin::metadata(&[]))?;
        Ok(admin::named_positions(name, &topics, positions))
    }

    /// Moves a subscription in all partitions of a topic to a time or an end. It goes on from there when it starts
    /// anew. Where no record is that late, it moves to the end.
    pub fn reset_subscription(&mut self, name: &str, topic: &str, to: OffsetOf) -> Result<()> {
        let metadata = self.topic(topic)?;
        let mut positions = Vec::new();
        for partition in &metadata.partitions {
            let mut found = self.ask(admin::list_offsets(topic, partition.group, to))?.offset;
            if found.is_none() {
                found = self.ask(admin::list_offsets(topic, partition.group, OffsetOf::Latest))?.offset;
            }
            positions.extend(found.map(|offset| admin::reset_position(partition, offset)));
        }
        self.ask(admin::commit_positions(name, positions)).map(drop)
    }

    /// Forgets a subscription and its positions.
    pub fn delete_subscription(&mut self, name: &str) -> Result<()> {
        self.ask(admin::delete_subscription(name)).map(drop)
    }

    /// The state of each shard, as JSON objects.
    pub fn status(&mut self) -> Result<Vec<String>> {
        let first = self.ask(admin::status(ShardId(0)))?.json;
        let mut all = vec![first];
        for shard in 1..self.driver.engine().shards() {
            all.push(self.ask(admin::status(ShardId(shard)))?.json);
        }
        Ok(all)
    }
}
