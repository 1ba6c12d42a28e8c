//! The values that flags take: positions, settings, partitions, counts. Pure: a time relative to now is resolved by
//! whoever has a clock.

use crate::config::units;
use flumen_model::{Offset, PartitionNumber, UnixMillis};
use std::str::FromStr;

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The oldest record that is still there.
    Start,
    /// Behind the newest record.
    End,
    /// This record.
    Offset(Offset),
    /// The first record of this time or later.
    Time(Time),
}

/// A time as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// This one.
    At(UnixMillis),
    /// So many milliseconds ago.
    Ago(u64),
}

impl Time {
    /// The time, with the present one.
    pub(crate) fn resolve(self, now: UnixMillis) -> UnixMillis {
        match self {
            Time::At(time) => time,
            Time::Ago(millis) => UnixMillis(now.0.saturating_sub(i64::try_from(millis).unwrap_or(i64::MAX))),
        }
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Position, String> {
        match text {
            "start" => return Ok(Position::Start),
            "end" => return Ok(Position::End),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return time.parse().map(Position::Time);
        }
        text.parse().map(|offset| Position::Offset(Offset(offset))).map_err(|_| {
            "must be start, end, an offset such as 1500, or a time such as @2026-03-01T12:00:00Z or @-5m"
                .to_owned()
        })
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        if let Some(ago) = text.strip_prefix('-').and_then(units::millis) {
            return Ok(Time::Ago(ago));
        }
        if let Ok(millis) = text.parse::<i64>() {
            return Ok(Time::At(UnixMillis(millis)));
        }
        text.parse::<jiff::Timestamp>().map(|time| Time::At(UnixMillis(time.as_millisecond()))).map_err(|_| {
            "the time behind @ must be RFC 3339 with its zone (2026-03-01T12:00:00Z), milliseconds since 1970, or \
             a span back from now (-5m, -2h, -7d)"
                .to_owned()
        })
    }
}

/// A topic's setting and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The setting: `retention.ms`.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Pair { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err("must be key=value, such as retention.ms=86400000".to_owned()),
        }
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicPartition {
    /// The topic's name.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: PartitionNumber,
}

impl FromStr for TopicPartition {
    type Err = String;

    fn from_str(text: &str) -> Result<TopicPartition, String> {
        let parsed = text.rsplit_once('/').and_then(|(topic, number)| {
            let partition = PartitionNumber(number.parse().ok()?);
            (!topic.is_empty()).then(|| TopicPartition { topic: topic.to_owned(), partition })
        });
        parsed.ok_or_else(|| "must be TOPIC/PARTITION, such as orders/0".to_owned())
    }
}

/// A partition's number, for flags.
pub(crate) fn partition(text: &str) -> Result<PartitionNumber, String> {
    text.parse().map(PartitionNumber).map_err(|_| "must be a partition's number, from 0".to_owned())
}

/// An offset, for flags.
pub(crate) fn offset(text: &str) -> Result<Offset, String> {
    text.parse().map(Offset).map_err(|_| "must be an offset, from 0".to_owned())
}
