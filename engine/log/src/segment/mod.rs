//! Segments: one partition's committed record batches, verbatim and packed, in files that are written once, in
//! whole blocks, off the ack path. Here is what spreads, reads, trims and checks them. What makes a batch durable
//! is the journal; nothing here is ever on the way of an ack, and nothing here knows what is not committed.
//! The bytes are described in `FORMAT-segments.md`.

mod active;
mod budget;
mod cache;
mod cut;
mod delete;
mod entry;
mod files;
mod gate;
mod index_file;
mod index_read;
mod lost;
mod lru;
mod patch;
mod pieces;
mod read;
mod repair;
mod sealed;
mod seed;
mod segments;
mod spread;
mod state;
mod sync;
mod terms;
mod time;
mod trim;
mod verify;
mod view;
mod walk;

#[cfg(test)]
mod tests;

pub use budget::ReadBudget;
pub use delete::{delete_all, empty_trash};
pub use files::OpenFiles;
pub(crate) use files::write_failed;
pub use index_file::fuzz_index;
pub use repair::Repaired;
pub use segments::{BatchRef, Segments, SegmentsSpec};
pub use spread::SpreadDone;
pub use state::{SegmentsState, fuzz_state};
pub use verify::{Rot, SegmentDamage, Visitor};
