//! What the cores of a node say to each other: the first core tells the others what to open, follow and serve, and
//! hears what came of it. In one process it travels over the host's channels, as values.

use flumen_engine::control::{Follow, Report};
use flumen_io::Host;
use flumen_io::Machine;
use flumen_log::superblock::Superblock;
use flumen_model::ShardId;
use flumen_net::Handoff;

/// Room in each channel; more waits with the sender.
const CAPACITY: usize = 1024;

/// From the first core to another.
pub(crate) enum ToCore<P> {
    /// Open your shards of this directory.
    Open(Box<Superblock>),
    /// News of the metadata for one of your shards.
    Follow(ShardId, Follow),
    /// A connection for one of your shards.
    Serve(ShardId, Handoff<P>),
    /// End cleanly.
    Stop,
}

/// From another core to the first.
pub(crate) enum FromCore {
    /// A shard has something to say.
    Report(Report),
    /// This core has ended its shards.
    Stopped,
}

/// The halves of one other core's channels, on their way to both ends.
pub(crate) struct Ends<H: Host> {
    pub(crate) to_tx: H::TxHalf<ToCore<H::Parts>>,
    pub(crate) from_rx: H::RxHalf<FromCore>,
}

/// The other core's ends.
pub(crate) struct Others<H: Host> {
    pub(crate) to_rx: H::RxHalf<ToCore<H::Parts>>,
    pub(crate) from_tx: H::TxHalf<FromCore>,
}

/// Makes the channels between the first core and another.
pub(crate) fn link<M: Machine>(machine: &mut M) -> (Ends<M::Host>, Others<M::Host>) {
    let (to_tx, to_rx) = machine.channel(CAPACITY);
    let (from_tx, from_rx) = machine.channel(CAPACITY);
    (Ends { to_tx, from_rx }, Others { to_rx, from_tx })
}
