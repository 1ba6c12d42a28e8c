//! The ways that recovery can take, by name, for whoever measures which of them were ever taken. They are told at the
//! level of traces under a target of their own, and cost nothing when nobody listens. They never decide anything.

/// The target under which ways are told.
pub const TARGET: &str = "flumen_log::ways";

/// All ways.
pub const ALL: &[&str] = &[
    REPLACED_SUFFIX,
    GAP,
    NO_CHECKPOINT,
    SPREAD_MEANWHILE,
    DURABLE_APPLIED,
    OWNERS_KNOWN,
    OWNERS_UNKNOWN,
    STATE_LOST,
    VOTE_LOST,
    DAMAGE_OUTLIVED,
    PARTS_JOINED,
    PARTS_MISSING,
    TORN_TAIL,
    FILE_LOST,
    DIRECTORY_DAMAGED,
    BLOCK_UNREADABLE,
];

/// A later leader's entry took the place of a suffix.
pub(crate) const REPLACED_SUFFIX: &str = "a later entry takes the place of a suffix";
/// Entries are missing in front of one that is there.
pub(crate) const GAP: &str = "entries are missing in front of one that is there";
/// A frame of a group that has no checkpoint any more.
pub(crate) const NO_CHECKPOINT: &str = "a frame of a group without a checkpoint is passed over";
/// What is replayed is more than memory holds.
pub(crate) const SPREAD_MEANWHILE: &str = "what is replayed is spread meanwhile";
/// Entries of a sole voter, durable and not known to be committed.
pub(crate) const DURABLE_APPLIED: &str = "a sole voter's durable entry is applied without a commit";
/// Damage whose owners its directory names.
pub(crate) const OWNERS_KNOWN: &str = "damage names its groups";
/// Damage whose owners nobody knows.
pub(crate) const OWNERS_UNKNOWN: &str = "damage does not name its groups";
/// A group's birth or only checkpoint is damaged.
pub(crate) const STATE_LOST: &str = "the whole state of a group is lost";
/// A damaged vote or term that nothing later replaces.
pub(crate) const VOTE_LOST: &str = "a vote or term is lost";
/// Damage that a later checkpoint or entry makes good.
pub(crate) const DAMAGE_OUTLIVED: &str = "damage is made good by what lies behind it";
/// A checkpoint of several parts.
pub(crate) const PARTS_JOINED: &str = "a checkpoint is joined from parts";
/// A checkpoint whose parts are not all there.
pub(crate) const PARTS_MISSING: &str = "a checkpoint whose parts are missing is passed over";
/// A write that a crash cut off.
pub(crate) const TORN_TAIL: &str = "a torn tail is cut off";
/// A whole file of the journal is missing, or its header.
pub(crate) const FILE_LOST: &str = "a whole file of the journal is lost";
/// A write's directory is damaged, and nothing else of it.
pub(crate) const DIRECTORY_DAMAGED: &str = "only the directory of a write is damaged";
/// A block that the device does not give.
pub(crate) const BLOCK_UNREADABLE: &str = "a block of the journal cannot be read";

/// Recovery takes a way.
pub(crate) fn take(way: &'static str) {
    tracing::trace!(target: TARGET, "{way}");
}
