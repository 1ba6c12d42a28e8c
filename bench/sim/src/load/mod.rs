//! What the clients do: each a stream of steps drawn from its own chance. They ask, send and read as programs would,
//! and tell the oracle everything; they judge nothing.

mod crew;
mod fetcher;
mod operator;
mod producer;
mod subscriber;
pub mod verify;

pub use crew::{Crew, Leave};

use crate::chance::Chance;
use crate::oracle::PartKey;
use crate::sim::Shared;
use flumen_client::Settings;
use flumen_model::{GroupId, ShardId};
use std::time::Duration;

/// A partition as a client chooses it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) key: PartKey,
    pub(crate) topic: String,
    pub(crate) group: GroupId,
    pub(crate) shard: ShardId,
}

/// All partitions of topics that are there for certain.
pub(crate) fn places(shared: &Shared) -> Vec<Place> {
    let sim = shared.lock();
    let mut places = Vec::new();
    for run in sim.oracle.topics.live() {
        for (key, (group, shard)) in run.keys().zip(&run.groups) {
            let (group, shard) = (GroupId(*group), ShardId(*shard));
            places.push(Place { key, topic: run.name.clone(), group, shard });
        }
    }
    places
}

/// One of them.
pub(crate) fn some_place(shared: &Shared, chance: &mut Chance) -> Option<Place> {
    let places = places(shared);
    chance.pick(&places).cloned()
}

/// How clients behave: as the defaults, with waits that fit simulated lives.
pub(crate) fn settings(name: &str, seed: u64) -> Settings {
    Settings {
        client_id: name.to_string(),
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(4),
        delivery_timeout: Duration::from_secs(40),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(500),
        seed,
    }
}
