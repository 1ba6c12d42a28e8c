//! Shard 0's control groups and what they offer: topics made and changed, producer ids, positions. It decides
//! nothing itself: the machines of metadata and positions do, from committed commands. What it adds is the word to
//! the other shards: a change is answered when every shard has followed it.

mod topics;

use crate::metadata::{Applied, Command, Init, Metadata, MetadataView, Outcome};
use crate::positions::{self, Positions};
use crate::shard::Shard;
use crate::state_group::{StateGroup, StateMachine};
use bytes::Bytes;
use flumen_io::Host;
use flumen_io::local::{LocalQueue, Notify};
use flumen_model::{Code, Error, ProducerId, Result, ShardId, TopicId, UnixMillis};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

/// A purge that failed (no space, say) is tried again after this long.
const PURGE_AGAIN: Duration = Duration::from_secs(1);
/// Producer ids are taken from group 0 in blocks of this many, so that most are given without a commit.
const PRODUCER_BLOCK: u32 = 1000;

/// What a shard is told when the metadata change.
#[derive(Clone, Debug)]
pub struct Follow {
    /// The metadata.
    pub view: MetadataView,
    /// Deleted topics whose groups are not purged from this shard yet.
    pub purge: Vec<TopicId>,
}

/// What a shard says back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It follows a view: new groups are led, gone ones closed.
    Followed {
        /// The shard.
        shard: ShardId,
        /// The view's version.
        version: u64,
    },
    /// A deleted topic's files are gone from it.
    Purged {
        /// The shard.
        shard: ShardId,
        /// The topic.
        topic: TopicId,
    },
}

impl StateMachine for Metadata {
    type Outcome = Result<Applied>;

    fn apply(&mut self, index: u64, command: &[u8]) -> Result<Applied> {
        Metadata::apply(self, index, command)
    }

    fn snapshot(&self) -> Bytes {
        Metadata::snapshot(self)
    }
}

impl StateMachine for Positions {
    type Outcome = Result<positions::Outcome>;

    fn apply(&mut self, index: u64, command: &[u8]) -> Result<positions::Outcome> {
        Positions::apply(self, index, command)
    }

    fn snapshot(&self) -> Bytes {
        Positions::snapshot(self)
    }
}

/// The control groups, and what shard 0 knows of its followers.
pub struct Control<H: Host> {
    /// Group 0.
    pub metadata: StateGroup<H, Metadata>,
    /// Subscriptions' positions.
    pub positions: StateGroup<H, Positions>,
    /// Where each shard, by number, takes its news from.
    inboxes: RefCell<Vec<LocalQueue<Follow>>>,
    followed: RefCell<Vec<u64>>,
    changed: Notify,
    /// The producer ids that are ours to give: next and end.
    producers: Cell<(i64, i64)>,
}

impl<H: Host> Control<H> {
    pub(crate) fn new(metadata: StateGroup<H, Metadata>, positions: StateGroup<H, Positions>) -> Control<H> {
        Control {
            metadata,
            positions,
            inboxes: RefCell::default(),
            followed: RefCell::default(),
            changed: Notify::new(),
            producers: Cell::new((0, 0)),
        }
    }

    /// Connects the shards, by number. Queues of other cores are emptied by whoever carries news there.
    pub fn connect(&self, inboxes: Vec<LocalQueue<Follow>>) {
        *self.followed.borrow_mut() = vec![0; inboxes.len()];
        *self.inboxes.borrow_mut() = inboxes;
    }

    /// Tells every shard the newest metadata. Cheap: a view is one pointer.
    pub fn publish(&self) {
        let view = self.metadata.with(Metadata::view);
        for (shard, inbox) in self.inboxes.borrow().iter().enumerate() {
            let mut purge: Vec<TopicId> = self.metadata.with(|metadata| {
                metadata.unpurged_groups_of(ShardId(shard as u16)).map(|(topic, _)| topic).collect()
            });
            purge.dedup();
            // A closed inbox is a node that ends: nobody is left to tell.
            let _ = inbox.try_push(Follow { view: view.clone(), purge });
        }
    }

    async fn all_follow(&self, version: u64, closing: &Cell<bool>) -> Result<()> {
        while self.followed.borrow().iter().any(|&followed| followed < version) {
            if closing.get() {
                return Err(Error::new(Code::Closed, "the node is closing"));
            }
            self.changed.notified().await;
        }
        Ok(())
    }
}

impl<H: Host> Shard<H> {
    /// The control groups.
    ///
    /// # Errors
    /// [`Code::WrongShard`] on every other shard.
    pub fn control_or_refuse(&self) -> Result<&Control<H>> {
        self.control().ok_or_else(|| {
            Error::new(
                Code::WrongShard,
                "topics, settings and positions are answered by shard 0: connect with shard 0 wanted",
            )
        })
    }

    /// Commits a metadata command.
    ///
    /// # Errors
    /// What the machine refuses with, or that the node is not ready or closing.
    pub async fn command(&self, command: &Command) -> Result<Outcome> {
        let control = self.control_or_refuse()?;
        // Most refusals are known before anything is written.
        control.metadata.with(|metadata| metadata.rehearse(command))?;
        let taker = control.metadata.propose(command.encode())?;
        self.mark_state(&control.metadata);
        self.flush();
        Ok(taker.take().await.ok_or_else(closing)???.outcome)
    }

    /// Commits a positions command.
    ///
    /// # Errors
    /// What the machine refuses with, or that the node is not ready or closing.
    pub async fn position_command(&self, command: &positions::Command) -> Result<positions::Outcome> {
        let control = self.control_or_refuse()?;
        let taker = control.positions.propose(command.encode())?;
        self.mark_state(&control.positions);
        self.flush();
        taker.take().await.ok_or_else(closing)??
    }

    /// Commits a metadata change and waits until every shard follows it.
    async fn change(&self, command: &Command) -> Result<Outcome> {
        let outcome = self.command(command).await?;
        let control = self.control_or_refuse()?;
        control.publish();
        let version = control.metadata.with(|metadata| metadata.view().version());
        control.all_follow(version, &self.closing).await?;
        Ok(outcome)
    }

    /// Brings the metadata into the world when the directory is new, and tells every shard about them. The node is
    /// ready when this returns. Damaged positions keep no topic from being served: they are refused where they are
    /// asked for.
    ///
    /// # Errors
    /// A directory whose metadata belong to another node or number of shards, or are damaged.
    pub async fn start_control(&self, node: Uuid, directory: Uuid, shards: u16) -> Result<()> {
        let now = UnixMillis(self.host.wall_ms());
        let control = self.control_or_refuse()?;
        if control.positions.is_damaged() {
            tracing::error!("the positions of subscriptions are damaged and refused: see `flumen check`");
        }
        if control.metadata.is_damaged() {
            return Err(Error::new(
                Code::Corrupt,
                "the node's own metadata are damaged: see `flumen check`, then restore the directory from a copy",
            ));
        }
        let is_ready = || {
            let positions = &control.positions;
            control.metadata.is_serving() && (positions.is_serving() || positions.is_damaged())
        };
        while !is_ready() {
            if self.closing.get() {
                return Err(closing());
            }
            self.progress.notified().await;
        }
        self.change(&Command::Init(Init::fresh(node, directory, shards, 0, now))).await?;
        Ok(())
    }

    /// Takes in what a shard says.
    pub fn take_report(self: &Rc<Self>, report: Report) {
        let Some(control) = self.control() else { return };
        match report {
            Report::Followed { shard, version } => {
                let mut followed = control.followed.borrow_mut();
                let known = &mut followed[usize::from(shard.0)];
                *known = version.max(*known);
                drop(followed);
                control.changed.notify_all();
            }
            Report::Purged { shard, topic } => {
                let this = self.clone();
                drop(self.host.spawn(async move {
                    if let Err(error) = this.command(&Command::PurgeDone { topic, shard }).await {
                        // The tombstone stays: the shard is asked again after the next start.
                        tracing::warn!(%topic, %shard, %error, "a purge could not be noted");
                    }
                }));
            }
        }
    }

    /// Follows the metadata as they come, until the inbox closes.
    pub async fn run_follower(
        self: Rc<Self>,
        inbox: LocalQueue<Follow>,
        report: impl Fn(Report) + Clone + 'static,
    ) {
        let shard = self.id();
        let mut cleaned = false;
        while let Some(mut news) = inbox.pop().await {
            while let Some(newer) = inbox.try_pop() {
                news = newer;
            }
            let version = news.view.version();
            if let Err(error) = self.follow(news.view).await {
                tracing::warn!(%error, version, "the shard does not follow the metadata");
                continue;
            }
            report(Report::Followed { shard, version });
            if !std::mem::replace(&mut cleaned, true) {
                let this = self.clone();
                drop(self.host.spawn(async move { this.clean_up().await }));
            }
            for topic in news.purge {
                self.purge_in_background(topic, report.clone());
            }
        }
    }

    /// Purges a topic, again and again until it is done: nobody else would come back to it. Asked for every topic
    /// that is not purged with every news, so one that is under way is left alone.
    fn purge_in_background(self: &Rc<Self>, topic: TopicId, report: impl Fn(Report) + 'static) {
        if !self.purging.borrow_mut().insert(topic) {
            return;
        }
        let this = self.clone();
        drop(self.host.spawn(async move {
            while let Err(error) = this.purge(topic).await {
                tracing::error!(%topic, %error, "a deleted topic's files cannot be purged yet");
                this.host.sleep(PURGE_AGAIN).await;
                if this.closing.get() {
                    return;
                }
            }
            this.purging.borrow_mut().remove(&topic);
            report(Report::Purged { shard: this.id(), topic });
        }));
    }

    /// A producer id that was never given before.
    ///
    /// # Errors
    /// As [`Shard::command`].
    pub async fn new_producer(&self) -> Result<ProducerId> {
        let control = self.control_or_refuse()?;
        loop {
            let (next, end) = control.producers.get();
            if next < end {
                control.producers.set((next + 1, end));
                return Ok(ProducerId(next));
            }
            let outcome = self.command(&Command::AllocateProducers { count: PRODUCER_BLOCK }).await?;
            let Outcome::Producers { first, count } = outcome else {
                unreachable!("an allocation is answered with a block")
            };
            let (next, end) = control.producers.get();
            if next >= end {
                control.producers.set((first.0, first.0 + i64::from(count)));
            }
        }
    }
}

fn closing() -> Error {
    Error::new(Code::Closed, "the node is closing")
}
