//! How a subscriber behaves.

use flumen_model::limits::BATCH_BYTES_HARD_MAX;
use flumen_model::topic::check_name;
use flumen_model::{Code, Error, Offset, Result, UnixMillis};
use flumen_wire::OffsetOf;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is left.
    Earliest,
    /// Behind the last record: only what comes from now on.
    Latest,
    /// At this offset.
    Offset(Offset),
    /// At the first record of this time or later; behind the last when there is none.
    Time(UnixMillis),
}

/// What to do when the wanted offset is trimmed away, or lies behind the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutOfRange {
    /// Go on at the first record that is left.
    #[default]
    Earliest,
    /// Go on behind the last record.
    Latest,
    /// End the partition with an error.
    Error,
}

/// A subscriber's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberSettings {
    /// The name under which the node keeps positions; none keeps none. A partition with a kept position begins there.
    pub name: Option<String>,
    /// Where a partition without a kept position begins.
    pub start: Start,
    /// What to do when the wanted offset is not there.
    pub out_of_range: OutOfRange,
    /// Bytes of batches that a partition may have sent ahead of what was read.
    pub credit_bytes: u32,
}

impl Default for SubscriberSettings {
    fn default() -> SubscriberSettings {
        SubscriberSettings {
            name: None,
            start: Start::Earliest,
            out_of_range: OutOfRange::Earliest,
            credit_bytes: BATCH_BYTES_HARD_MAX as u32,
        }
    }
}

impl SubscriberSettings {
    /// Refuses settings that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        if self.credit_bytes < 2 {
            return Err(Error::new(Code::InvalidSetting, "a subscriber needs credit_bytes of at least 2"));
        }
        self.name.as_ref().map_or(Ok(()), |name| check_name("subscription", name))
    }
}

/// Where a part is to begin, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Where the node's kept position is, or else at the start.
    Kept,
    /// At this offset.
    Offset(Offset),
    /// Where the node says that this is.
    Of(OffsetOf),
}

impl From<Start> for Target {
    fn from(start: Start) -> Target {
        match start {
            Start::Earliest => Target::Of(OffsetOf::Earliest),
            Start::Latest => Target::Of(OffsetOf::Latest),
            Start::Offset(offset) => Target::Offset(offset),
            Start::Time(time) => Target::Of(OffsetOf::Time(time)),
        }
    }
}
