//! The driver of one Raft group around the `raft` crate. It knows no clock, no disk, no socket and no chance:
//! bytes and values go in, bytes and values come out, and the same calls always give the same answers.
//! It must never read the time, draw a random number, do I/O, or know what a payload means.
//!
//! # How it is driven
//!
//! ```text
//! tick / step / propose / campaign ──► Driver ──► take_ready() ──► Ready { number, write, send }
//!                                        ▲                            │       │        └► the network, at once
//!                                        └──── persisted(number) ◄────┴───────┴► one journal group
//!                                        └──► take_committed() ──► the state machine ──► applied(index)
//! ```
//!
//! - A [`Write`] is **one atomic journal group**: recovered whole or not at all, and in order.
//! - Several Readys may be in flight. Messages that speak of what is not durable yet stay inside and come out
//!   of a later [`Ready`], after [`Driver::persisted`].
//! - [`Driver::commit`] may pass before this replica's own flush; [`Driver::take_committed`] gives entries that
//!   are committed and durable here.
//! - After every call that may have moved something, ask [`Driver::take_ready`] until it gives `None`.
//!
//! # What keeps it safe
//!
//! `raft` 0.7.0 is safe when its driver obeys eighteen rules of membership and durability. Each is a named test
//! in `tests/rules`. The ring (`examples/ring`, on fixed seeds `tests/seeds.rs`) runs whole groups under drops,
//! crashes, lost disks and membership changes, thousands of seeds a minute. It found one more: when several calls share a Ready, Raft may glue entries to a message that does not fit them,
//! and the follower answers for places that it does not have. Such messages are lost here on purpose.
//!
//! # Known advisories, and why they do not reach us
//!
//! - RUSTSEC-2024-0437 (`protobuf` 2.28, unbounded recursion when unknown fields are parsed): nothing that a
//!   stranger sends is parsed with protobuf. Messages and entries travel in our own codec; the only protobuf
//!   bytes are a configuration change, written by the leader of the group itself ([`ConfChange`]).
//! - RUSTSEC-2025-0057 (`fxhash` is unmaintained): `raft` hashes replica ids with it, which our own metadata
//!   group hands out. It is no fault but a notice; nobody from outside chooses a key.
#![forbid(unsafe_code)]

mod change;
mod conf;
mod driver;
mod entry;
mod flight;
mod ids;
mod jitter;
mod message;
mod ready;
mod state;
mod tally;
mod view;

pub use change::{ConfChange, Leave, Refused, Role};
pub use conf::{Conf, ConfError};
pub use driver::{Config, Driver};
pub use entry::{Entry, EntryKind};
pub use ids::{Index, ReplicaId, Term};
pub use message::Message;
pub use ready::{Ready, Write};
pub use state::{HardState, Point, Restored, RestoredError};
pub use tally::Tally;
pub use view::Fetch;
