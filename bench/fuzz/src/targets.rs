//! Every target by name. A new parser of outside bytes, or of a file that may be damaged, gets its row here.

mod log;
mod machines;
mod recovery;

pub(crate) use log::on_core;
pub(crate) use machines::{TOPIC_BITS, born};
pub use recovery::{EDIT_BYTES, files as recovery_files};

use crate::mend;

/// Something that must stand any bytes.
pub struct Target {
    /// Its name, and its corpus folder's.
    pub name: &'static str,
    /// Runs it; panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Puts checksums right.
    pub mend: fn(&mut [u8]),
    /// Memory that it may take for any input, in bytes. Beyond it, [`MEMORY_PER_BYTE`].
    memory_base: usize,
}

/// Memory that a target may take for each byte of input: what is decoded is larger than its bytes, by a factor.
const MEMORY_PER_BYTE: usize = 64;
/// What a parser may take for itself.
const LITTLE: usize = 256 * 1024;
/// What opens compressed records takes windows and tables beside a bounded output.
const CODECS: usize = 16 << 20;
/// What runs a simulated machine, or places ten thousand partitions.
const MUCH: usize = 256 << 20;

impl Target {
    /// The most memory that an input of `len` bytes may make it take.
    pub fn memory_max(&self, len: usize) -> usize {
        self.memory_base + len * MEMORY_PER_BYTE
    }
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, mend: |_| (), memory_base: LITTLE }
}

/// All of them.
pub static TARGETS: &[Target] = &[
    // Strangers.
    target("frame", flumen_wire::fuzz_targets::frame),
    target("request", flumen_wire::fuzz_targets::request),
    target("reply", flumen_wire::fuzz_targets::reply),
    Target { mend: mend::batch, ..target("batch", flumen_model::fuzz_targets::batch) },
    Target {
        mend: mend::batch,
        memory_base: CODECS,
        ..target("records", flumen_model::fuzz_targets::records)
    },
    // State machines.
    target("settings", flumen_model::fuzz_targets::settings),
    Target { memory_base: MUCH, ..target("metadata_command", machines::metadata_command) },
    target("metadata_snapshot", machines::metadata_snapshot),
    target("positions_command", machines::positions_command),
    target("positions_snapshot", machines::positions_snapshot),
    target("producers", machines::producers),
    target("raft_conf", machines::raft_conf),
    target("group_state", machines::group_state),
    // Files.
    Target { mend: mend::journal, ..target("journal", log::journal) },
    target("segment_state", flumen_log::segment::fuzz_state),
    target("segment_index", flumen_log::segment::fuzz_index),
    Target { mend: mend::superblock, memory_base: MUCH, ..target("superblock", log::superblock) },
    Target { memory_base: MUCH, ..target("recovery", recovery::recovery) },
];

/// The target of a name.
pub fn of_name(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
