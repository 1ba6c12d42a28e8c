//! `repair`: lets an operator accept, in so many words, that damaged records of one partition are lost. It is the
//! only thing in the house that gives acked data up, it runs on a stopped node, and it is logged.

use crate::directory::{lock, shard_spec};
use flumen_engine::{Shard, ShardConfig, inspect};
use flumen_io::{Host, Machine};
use flumen_log::superblock::Superblock;
use flumen_model::limits::Limits;
use flumen_model::topic::TopicSettings;
use flumen_model::{Code, Error, Offset, PartitionNumber, Result, ShardId};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

/// Accepts the loss of a partition's damaged records, on one core of a machine. Returns the offset ranges that were
/// given up, half open.
///
/// # Errors
/// A running node has the directory, the partition is unknown or not damaged, or the disk.
pub fn accept_loss<M: Machine>(
    machine: M,
    data: PathBuf,
    limits: Limits,
    topic: String,
    partition: PartitionNumber,
) -> Result<Vec<(Offset, Offset)>> {
    let (say, hear) = channel();
    let main = move |host: M::Host| async move {
        let _ = say.send(accept(&host, &data, &limits, &topic, partition).await);
    };
    machine
        .run(vec![main])
        .map_err(|error| Error::new(Code::LogFailed, format!("the machine failed: {error}")))?;
    hear.recv().map_err(|_| Error::new(Code::Closed, "the repair ended without a word"))?
}

/// Accepts the loss of a partition's damaged records.
///
/// # Errors
/// As [`accept_loss`].
pub async fn accept<H: Host>(
    host: &H,
    data: &Path,
    limits: &Limits,
    topic: &str,
    partition: PartitionNumber,
) -> Result<Vec<(Offset, Offset)>> {
    let _lock = lock(host, data).await?;
    let superblock = Superblock::load(host, data).await?.ok_or_else(|| {
        Error::new(Code::InvalidRequest, format!("{} holds no node: name its data directory", data.display()))
    })?;
    let spec = |shard| shard_spec(data, &superblock, shard, limits);
    let view = inspect(host, spec(ShardId(0))).await?.view;
    let place = view.topic(topic).and_then(|topic| topic.partition(partition)).ok_or_else(|| {
        Error::new(Code::UnknownTopic, format!("there is no partition {partition} of a topic {topic} here"))
    })?;
    let (group, home) = (place.group, place.shard);
    let config =
        ShardConfig { log: spec(home), topic_defaults: TopicSettings::default(), seed: host.entropy() };
    let (shard, _) = Shard::open(host.clone(), config).await?;
    shard.start(|error| tracing::error!(%error, "the repair failed"));
    // A partition whose whole state is lost has its place once the shard knows that it should be there.
    let accepted = match shard.follow(view).await {
        Ok(()) => shard.accept_loss(group).await,
        Err(error) => Err(error),
    };
    shard.close();
    shard.ended().await;
    accepted
}
