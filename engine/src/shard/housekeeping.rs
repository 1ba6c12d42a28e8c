//! What a shard does beside appends: its long-running tasks, retention, the watch over free space. Each step is
//! small and yields; none is on the way of an ack.

use super::Shard;
use crate::partition::move_log_start_command;
use flumen_io::Host;
use flumen_log::LogEvents;
use flumen_log::segment::Repaired;
use flumen_model::{Code, Error, GroupId, Offset, Result, TopicId, UnixMillis};
use std::rc::Rc;
use std::time::Duration;

/// How often retention looks at every partition.
const RETENTION_EVERY: Duration = Duration::from_secs(5);
/// How often the free space is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(1);
/// Partitions that retention looks at before it yields.
const RETENTION_SLICE: usize = 64;

impl<H: Host> Shard<H> {
    /// Starts the shard's tasks. A failed write or flush goes to `failed`, once: nothing more is acked by this
    /// log, and the process must end.
    pub fn start(self: &Rc<Self>, failed: impl FnOnce(Error) + Clone + 'static) {
        let events: Rc<dyn LogEvents> = self.clone();
        self.task(failed.clone(), |shard| {
            let events = events.clone();
            async move {
                let result = shard.log.run_writer(events).await;
                shard.ended.set(true);
                shard.progress.notify_all();
                result
            }
        });
        self.task(failed.clone(), |shard| {
            let events = events.clone();
            async move { shard.log.run_spreader(events).await }
        });
        self.task(failed.clone(), |shard| {
            let events = events.clone();
            async move { shard.log.clone().run_checkpointer(events).await }
        });
        self.task(failed.clone(), |shard| async move { shard.watch_space().await });
        self.task(failed, |shard| async move {
            shard.retain().await;
            Ok(())
        });
    }

    fn task<F>(self: &Rc<Self>, failed: impl FnOnce(Error) + 'static, make: impl FnOnce(Rc<Self>) -> F)
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let work = make(self.clone());
        drop(self.host.spawn(async move {
            if let Err(error) = work.await {
                failed(error);
            }
        }));
    }

    async fn watch_space(&self) -> Result<()> {
        while !self.closing.get() {
            self.log.watch_space().await?;
            self.host.sleep(SPACE_EVERY).await;
        }
        Ok(())
    }

    async fn retain(&self) {
        while !self.closing.get() {
            self.host.sleep(RETENTION_EVERY).await;
            self.retain_once().await;
        }
    }

    /// Moves the log start of every partition that holds more or older records than its topic keeps.
    pub async fn retain_once(&self) {
        for some in self.partitions().chunks(RETENTION_SLICE) {
            for partition in some {
                // A damaged one is read-only: its operator decides, and may want what is there.
                let log = partition.damaged().is_none().then_some(&partition.log);
                let Some(segments) = log.and_then(|log| log.segments()) else { continue };
                let settings = partition.settings();
                let now = UnixMillis(self.host.wall_ms());
                let expired = segments.expired(now, settings.retention_ms(), settings.retention_bytes());
                if let Some(to) = expired.filter(|to| *to > partition.log_start())
                    && partition.propose_command(move_log_start_command(to)).is_ok()
                {
                    tracing::info!(group = partition.group().0, to = to.0, "retention moves the log start");
                    self.mark(partition);
                }
            }
            self.flush();
            self.host.yield_now().await;
        }
    }

    /// Finishes, in the background, what a crash cut short: trimmed segments, emptied trash, files that nobody
    /// knows. Called once the shard follows the metadata.
    pub async fn clean_up(&self) {
        let result = self.clean_up_or_fail().await;
        if let Err(error) = result {
            tracing::warn!(%error, "left-over files stay until the next start");
        }
    }

    async fn clean_up_or_fail(&self) -> Result<()> {
        self.log.empty_trash().await?;
        for topic in self.log.stored_topics().await? {
            // The view is younger than the list: a topic that was made meanwhile is not taken for a dead one.
            if self.view().topic_by_id(topic).is_none() {
                tracing::info!(%topic, "files of a topic that is gone are deleted");
                self.purge(topic).await?;
            }
        }
        for partition in self.partitions() {
            if let Some(segments) = partition.log.segments().filter(|_| !partition.closed.get()) {
                segments.trim(&self.host, partition.log_start()).await?;
                segments.remove_orphans(&self.host).await?;
            }
            self.host.yield_now().await;
        }
        Ok(())
    }

    /// Accepts that a damaged partition's lost records are lost, durably: all its stored records are looked at, and
    /// what is damaged is given up. The partition leads again after the next start. Returns the offset ranges that
    /// were given up, half open; an index that is made anew costs none.
    ///
    /// # Errors
    /// An unknown partition, one that is not damaged, or the disk.
    pub async fn accept_loss(self: &Rc<Self>, group: GroupId) -> Result<Vec<(Offset, Offset)>> {
        let log = self.log.group(group).ok_or_else(|| {
            Error::new(Code::UnknownTopic, format!("shard {} has no group {group}", self.id()))
        })?;
        let repaired = match log.segments() {
            Some(segments) => segments.repair(&self.host, self.log.budget(), log.log_start()).await?,
            None => Repaired::default(),
        };
        let damaged = log.damaged();
        if damaged.is_none() && repaired.is_empty() {
            return Err(Error::new(
                Code::InvalidRequest,
                "the partition is not damaged: nothing is to be accepted",
            ));
        }
        for path in &repaired.indexes {
            tracing::warn!(group = group.0, path = %path.display(), "a damaged index was made anew");
        }
        let mut lost = repaired.lost;
        // What the journal has lost lies behind what is stored.
        let behind = lost.last().map_or(Offset(0), |last| last.1);
        let of_journal = damaged.map(|damaged| (damaged.from.max(behind), damaged.to));
        lost.extend(of_journal.filter(|(from, to)| from < to));
        for (from, to) in &lost {
            tracing::warn!(
                group = group.0,
                from = from.0,
                to = to.0,
                "the loss of damaged records is accepted"
            );
        }
        if let Some(damaged) = damaged {
            tracing::warn!(
                group = group.0,
                from = damaged.from.0,
                "the partition is not taken for damaged any more"
            );
        }
        log.accept_loss();
        self.log.checkpoint(&log, &**self).await?;
        Ok(lost)
    }

    /// Purges a deleted topic's files from this shard. May be repeated.
    ///
    /// # Errors
    /// What the filesystem says.
    pub async fn purge(&self, topic: TopicId) -> Result<()> {
        // Nothing may write to the files any more when they go: a checkpoint may still be under way. They stay listed
        // until the end, since this may be called again meanwhile.
        let retiring = self.retiring.borrow().get(&topic).cloned().unwrap_or_default();
        for segments in retiring.iter().filter_map(|log| log.segments()) {
            segments.retire().await;
        }
        self.log.delete_topic(topic).await?;
        self.retiring.borrow_mut().remove(&topic);
        Ok(())
    }
}
