//! Following the metadata: a shard makes the groups that a new view places on it and lets go of those that are
//! gone. It may be told the same twice; what is done already is not done again.

use super::Shard;
use crate::metadata::MetadataView;
use crate::partition::Partition;
use crate::producers::Producers;
use flumen_io::Host;
use flumen_model::topic::TopicSettings;
use flumen_model::{Code, Error, GroupId, PartitionNumber, Result, TopicId};
use flumen_replication::{Conf, Config, Driver, Index, Point, ReplicaId, Restored, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Where every group's log begins. Never at zero: a log from zero cannot take in a second replica.
pub(super) fn birth_point(replica: ReplicaId) -> Point {
    Point { index: Index(1), term: Term(1), conf: Conf::of_voters([replica]) }
}

/// A group to make.
struct Birth {
    group: GroupId,
    topic: TopicId,
    number: PartitionNumber,
    replica: ReplicaId,
    settings: Rc<TopicSettings>,
}

impl<H: Host> Shard<H> {
    /// Takes over a new view: settings at once, new groups made and led when this returns, groups of gone topics
    /// closed.
    ///
    /// # Errors
    /// [`Code::Closed`] when the shard ends meanwhile.
    pub async fn follow(&self, view: MetadataView) -> Result<()> {
        let mut settings: BTreeMap<TopicId, Rc<TopicSettings>> = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        let mut fresh = Vec::new();
        for (group, home) in view.groups_of(self.id) {
            let topic = view.topic_by_id(home.topic).expect("a view has the topic of each of its groups");
            let settings =
                settings.entry(topic.id).or_insert_with(|| Rc::new(topic.settings.clone())).clone();
            let partition =
                topic.partition(home.partition).expect("a topic has the partition of each of its groups");
            let replica = ReplicaId(partition.replicas[0].0);
            wanted.insert(group);
            match self.partitions.borrow().get(&group) {
                Some(partition) => partition.set_settings(settings),
                None => {
                    fresh.push(Birth { group, topic: topic.id, number: home.partition, replica, settings })
                }
            }
        }
        let gone: Vec<_> =
            self.partitions().into_iter().filter(|partition| !wanted.contains(&partition.group())).collect();
        *self.view.borrow_mut() = view;
        gone.iter().for_each(|partition| self.let_go(partition));
        self.create_all(fresh).await?;
        // Recovered partitions too: until one leads in its own term, acked records may not be readable yet.
        self.wait_serving(&self.partitions()).await
    }

    /// Makes groups, a bounded number in flight, and waits until this shard leads them all.
    async fn create_all(&self, fresh: Vec<Birth>) -> Result<()> {
        const AT_ONCE: usize = 256;
        for some in fresh.chunks(AT_ONCE) {
            while !self.admits(AT_ONCE * 1024) {
                self.wait_room().await;
            }
            let made: Vec<_> = some.iter().map(|birth| self.create(birth)).collect();
            self.flush();
            self.wait_serving(&made).await?;
        }
        Ok(())
    }

    async fn wait_serving(&self, partitions: &[Rc<Partition<H>>]) -> Result<()> {
        for partition in partitions {
            while !partition.is_serving() && partition.damaged().is_none() {
                if self.closing.get() {
                    return Err(Error::new(Code::Closed, "the node is closing"));
                }
                self.progress.notified().await;
            }
        }
        Ok(())
    }

    fn create(&self, birth: &Birth) -> Rc<Partition<H>> {
        let Birth { group, topic, number, replica, .. } = *birth;
        let (log, driver) = match self.traces.lost(group) {
            None => {
                let (log, driver) = self.birth(group, topic, number, replica);
                (log, Some(driver))
            }
            Some(lost) => {
                let end = lost.end.0;
                tracing::error!(group = group.0, %topic, partition = number.0, end, "the state of a partition is lost: it is damaged from its first record on");
                (self.log.create_lost_group(group, topic, number, replica, birth_point(replica), lost), None)
            }
        };
        let producers = Producers::new(self.limits.producers_per_partition_max);
        let partition = Rc::new(Partition::new(log, driver, producers, birth.settings.clone()));
        self.partitions.borrow_mut().insert(birth.group, partition.clone());
        self.mark(&partition);
        partition
    }

    /// A new group's log and driver, already campaigning: a sole voter leads once its term is durable.
    pub(super) fn birth(
        &self,
        group: GroupId,
        topic: TopicId,
        number: PartitionNumber,
        replica: ReplicaId,
    ) -> (Rc<flumen_log::GroupLog<H>>, Driver) {
        let point = birth_point(replica);
        let log = self.log.create_group(group, topic, number, replica, point.clone());
        (log, self.lead(group, replica, Restored::birth(point)))
    }

    /// A driver that campaigns at once. Sole voters are never ticked.
    pub(super) fn lead(&self, group: GroupId, replica: ReplicaId, restored: Restored) -> Driver {
        let mut driver = Driver::new(Config::new(replica, self.seed ^ group.0), restored);
        driver.campaign(0);
        driver
    }

    fn let_go(&self, partition: &Rc<Partition<H>>) {
        self.partitions.borrow_mut().remove(&partition.group());
        self.log.remove_group(partition.group());
        partition.close(&Error::new(Code::UnknownTopic, "the topic was deleted"));
        self.retiring.borrow_mut().entry(partition.topic()).or_default().push(partition.log.clone());
    }
}
