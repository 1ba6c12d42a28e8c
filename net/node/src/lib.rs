//! One node assembled, generic over the host: a data directory, its shards on their cores, the door in front.
//! The binary runs it on a real machine, tests and the simulator on others. It picks no host and parses no
//! configuration.
#![forbid(unsafe_code)]

mod assembly;
pub mod check;
mod directory;
mod mesh;
pub mod repair;

pub use assembly::{Main, mains, run};
pub use directory::{Found, open_directory, shard_dir};

use flumen_model::Error;
use flumen_model::limits::Limits;
use flumen_model::topic::TopicSettings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The data directory; formatted when it is empty.
    pub data: PathBuf,
    /// Refuse a directory that was never formatted: a missing mount is not an empty node.
    pub require_existing: bool,
    /// Where the native protocol listens; port 0 picks a free one.
    pub native: SocketAddr,
    /// Shards of a new directory; those of an old one stay.
    pub shards: u16,
    /// The node's limits.
    pub limits: Limits,
    /// What topics are created with unless they say otherwise.
    pub topic_defaults: TopicSettings,
    /// The release, for people.
    pub version: &'static str,
}

/// What a node tells whoever runs it. Called on its cores; must not block.
pub trait Observer: Send + Sync + 'static {
    /// A new directory is being formatted: bytes done and in all.
    fn formatting(&self, done: u64, total: u64);
    /// The node serves on this address.
    fn ready(&self, native: SocketAddr);
    /// The node cannot go on: nothing more is acked, and the process must end.
    fn failed(&self, error: Error);
}

/// What whoever runs a node may do with it while it runs.
#[derive(Debug)]
pub struct Handle {
    stop: AtomicBool,
    heartbeats: Vec<AtomicU64>,
}

impl Handle {
    /// For a node of so many cores.
    pub fn new(cores: usize) -> Handle {
        Handle { stop: AtomicBool::new(false), heartbeats: (0..cores).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Asks the node to end cleanly: what is acked is durable anyway, what is queued is written.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// How often each core has said that it lives. One that stands still is for the watchdog.
    pub fn heartbeats(&self) -> Vec<u64> {
        self.heartbeats.iter().map(|beat| beat.load(Ordering::Relaxed)).collect()
    }

    pub(crate) fn beat(&self, core: usize) {
        self.heartbeats[core].fetch_add(1, Ordering::Relaxed);
    }
}
