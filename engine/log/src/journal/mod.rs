//! The journal of one shard: fixed files, prewritten once and recycled for ever, in which every append of every
//! group on the shard becomes durable with at most one write in flight. It knows frames, files and positions;
//! it must never look into a payload, decide what may be acked to whom, or retry a failed write.
//!
//! Writing: [`format()`], [`Journal`]. Reading after a start: [`scan()`]. The bytes are described in FORMAT.md.

mod directory;
mod file;
mod frame;
mod group;
mod image;
mod parse;
mod plan;
mod prewrite;
mod queue;
mod region;
mod report;
mod ring;
mod scan;
mod spec;
mod stats;
mod survey;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub use directory::Owner;
pub use frame::{Frame, FrameKind, frame_bytes};
#[doc(hidden)]
pub use image::fuzz_scan_file;
pub use prewrite::format;
pub use report::{
    Damage, DamageOwners, FileInfo, FileSpan, FileState, ScanReport, ScanVisitor, ScannedFrame, Torn,
};
pub use scan::scan;
pub use spec::JournalSpec;
pub use stats::{GROUP_SIZES, Stats};
pub use writer::{Durable, Journal, Ticket};
