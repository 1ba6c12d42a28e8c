//! Topics: created, altered, grown, deleted. Each is answered when every shard has followed.

use crate::metadata::{AlterTopic, Command, CreateTopic, Outcome, Topic};
use crate::positions;
use crate::shard::Shard;
use flumen_io::Host;
use flumen_model::topic::TopicName;
use flumen_model::{Code, Error, Result, UnixMillis};
use std::sync::Arc;

impl<H: Host> Shard<H> {
    /// Creates a topic; its partitions are led when this returns.
    ///
    /// # Errors
    /// A name, number or setting that is not allowed, a topic of that name, or a limit reached.
    pub async fn create_topic<'a>(
        &self,
        name: &str,
        partitions: u32,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Arc<Topic>> {
        let command = Command::CreateTopic(CreateTopic {
            name: TopicName::new(name)?,
            id_bits: (u128::from(self.host.entropy()) << 64) | u128::from(self.host.entropy()),
            time: UnixMillis(self.host.wall_ms()),
            partitions,
            partitions_per_shard_max: u32::try_from(self.limits.partitions_per_shard_max).unwrap_or(u32::MAX),
            settings: self.topic_defaults.altered(pairs)?,
        });
        match self.change(&command).await? {
            Outcome::Topic(topic) => Ok(topic),
            other => unreachable!("a creation is answered with the topic, not {other:?}"),
        }
    }

    /// The topic of a name, as group 0 knows it.
    ///
    /// # Errors
    /// [`Code::UnknownTopic`].
    pub fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let view = self.control_or_refuse()?.metadata.with(|metadata| metadata.view());
        view.topic(name).cloned().ok_or_else(|| {
            Error::new(
                Code::UnknownTopic,
                format!("there is no topic {name}: create it first, or look at the list"),
            )
        })
    }

    /// Changes a topic's settings; an empty value is the default again.
    ///
    /// # Errors
    /// An unknown topic, key or value.
    pub async fn alter_topic<'a>(
        &self,
        name: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Arc<Topic>> {
        let topic = self.topic(name)?;
        let command = Command::AlterTopic(AlterTopic::from_pairs(topic.id, pairs)?);
        match self.change(&command).await? {
            Outcome::Topic(topic) => Ok(topic),
            _ => Ok(topic),
        }
    }

    /// Deletes a topic: it is gone for everybody when this returns; its files go in the background.
    ///
    /// # Errors
    /// An unknown topic.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let topic = self.topic(name)?.id;
        self.change(&Command::DeleteTopic { topic }).await?;
        // Positions that are damaged are told to nobody; what they say of a topic that is gone harms nothing.
        if !self.control_or_refuse()?.positions.is_damaged() {
            self.position_command(&positions::Command::DeleteTopic { topic }).await?;
        }
        Ok(())
    }
}
