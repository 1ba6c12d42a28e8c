//! The node of a quickstart: the same code as `flumen start`, over real TCP, with small limits, in a directory of its
//! own.

use crate::config::{Config, NATIVE_PORT};
use crate::machine;
use crate::start::{Running, launch};
use crate::verbs::ask::Ask;
use flumen_model::limits::Limits;
use flumen_model::{Code, Error, Result};
use flumen_wire::{CreateTopicRequest, TopicMetadata};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// More shards show nothing more, and each has a journal.
const SHARDS_MAX: usize = 4;
/// A topic has so many partitions for each shard, so that every shard has some of each kind of work.
const PARTITIONS_PER_SHARD: u32 = 2;

/// A node that serves.
pub(crate) struct Node {
    /// It, on threads of its own.
    pub(crate) running: Running,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where its data lies.
    pub(crate) data: PathBuf,
    /// Journal bytes of a shard.
    pub(crate) journal_bytes: u64,
    /// Its shards.
    pub(crate) shards: u16,
}

/// A new topic on it.
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: String,
    /// How many partitions it has.
    pub(crate) partitions: NonZeroU32,
    /// When an ack leaves, by the topic's settings.
    pub(crate) durability: String,
}

impl Node {
    /// Starts a node in a directory, and waits until it serves.
    pub(crate) fn start(data: PathBuf) -> Result<Node> {
        let mut config = Config { data, native: address(), limits: Limits::small(), ..Config::default() };
        let cpus = machine::cpus(&config)?.len();
        config.shards = Some(cpus.clamp(1, SHARDS_MAX) as u16);
        let (running, address) = match serve(&config) {
            // Somebody else took the usual address meanwhile.
            Err(_) if config.native.port() != 0 && self::address() != config.native => {
                config.native = self::address();
                serve(&config)?
            }
            served => served?,
        };
        let shards = Ask::connect(address)?.hello().shards;
        Ok(Node { running, address, data: config.data, journal_bytes: config.limits.journal_bytes, shards })
    }

    /// Makes a topic that is not there yet.
    pub(crate) fn topic(&self) -> Result<Topic> {
        let mut ask = Ask::connect(self.address)?;
        let name = free_name(&ask.topics()?);
        let partitions = NonZeroU32::new(u32::from(self.shards.max(2)) * PARTITIONS_PER_SHARD);
        let partitions = partitions.expect("two or more of both");
        ask.node(&CreateTopicRequest {
            name: name.clone(),
            partitions: partitions.get(),
            settings: Vec::new(),
        })?;
        let settings = ask.topic(&name)?.settings;
        let set = settings.into_iter().find(|(key, _)| key == "durability").map(|(_, value)| value);
        let durability = set.unwrap_or_else(|| "quorum-durable".to_owned());
        Ok(Topic { name, partitions, durability })
    }
}

fn serve(config: &Config) -> Result<(Running, SocketAddr)> {
    let running = launch(config)?;
    match running.ready() {
        Ok(address) => Ok((running, address)),
        Err(error) => {
            // The reason is told; how it ended says nothing more.
            let _ = running.stop();
            Err(error)
        }
    }
}

/// The usual address, so that the other verbs find the node without a flag; another one when that is taken.
fn address() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, NATIVE_PORT));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

fn free_name(topics: &[TopicMetadata]) -> String {
    let names =
        std::iter::once("quickstart".to_owned()).chain((2..).map(|number| format!("quickstart-{number}")));
    let mut free = names.filter(|name| topics.iter().all(|topic| topic.name != *name));
    free.next().expect("there is always one more number")
}

/// The directory to work in: the one that was named, or a new one.
pub(crate) fn directory(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_path_buf()),
        None => fresh_directory(),
    }
}

/// A directory that does not exist yet: `flumen-quickstart` here, or in the directory of temporary files when this
/// one cannot be written to.
fn fresh_directory() -> Result<PathBuf> {
    for parent in std::env::current_dir().into_iter().chain([std::env::temp_dir()]) {
        for number in 1..1000 {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = parent.join(format!("flumen-quickstart{suffix}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(_) => break,
            }
        }
    }
    let message = "there is no place for a data directory here: name one with --data DIR";
    Err(Error::new(Code::InvalidRequest, message))
}
