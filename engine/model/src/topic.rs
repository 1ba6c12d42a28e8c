//! A topic's name and settings, with Kafka's rules and key names. Only what was set is kept; a node's defaults stay
//! with the node. Never knows where a topic lies or who serves it.

mod codec;
mod keys;
#[cfg(test)]
mod tests;

pub use keys::{SETTINGS, Setting};

use crate::error::{Code, Error, Result};
use crate::limits::{Limits, NAME_BYTES_MAX};
use keys::{Key, SETTING_COUNT};
use std::fmt;

/// A legal topic name: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Box<str>);

impl TopicName {
    /// The name, or `InvalidName` with the rule that it breaks.
    pub fn new(name: &str) -> Result<TopicName> {
        check_name("topic", name)?;
        Ok(TopicName(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Checks the name of a `noun` (topic, subscription) by Kafka's rule for topics; `InvalidName` says what is wrong.
pub fn check_name(noun: &str, name: &str) -> Result<()> {
    let wrong = if name.is_empty() {
        "is empty".to_string()
    } else if name.len() > NAME_BYTES_MAX {
        format!("has {} bytes", name.len())
    } else if name == "." || name == ".." {
        format!("is {name:?}")
    } else if let Some(bad) = name.chars().find(|&c| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
        format!("contains {bad:?}")
    } else {
        return Ok(());
    };
    Err(Error::new(
        Code::InvalidName,
        format!(
            "the {noun} name {wrong}; it must be 1 to {NAME_BYTES_MAX} of a-z A-Z 0-9 . _ - and not . or .."
        ),
    ))
}

/// When an append of a topic is acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// When a majority of the replicas has it on stable storage.
    #[default]
    QuorumDurable,
    /// When a majority has it in memory; flushed within a bound.
    QuorumMemory,
}

/// Whose clock a topic's records carry; Kafka's `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Timestamps {
    /// The producer's.
    #[default]
    CreateTime,
    /// The leader's, when it appends.
    AppendTime,
}

/// Where an effective value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// It was set for this topic.
    Topic,
    /// It is the node's or the house's default.
    Default,
}

/// One effective setting, for describing a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Kafka's name of it.
    pub key: &'static str,
    /// The value that holds.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
    /// One sentence on what it does.
    pub about: &'static str,
}

/// What was set for a topic, and what holds where nothing was.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TopicSettings {
    set: [Option<i64>; SETTING_COUNT],
}

impl TopicSettings {
    /// Records older than this may go; none keeps them for ever. `retention.ms`, 7 days unless set.
    pub fn retention_ms(&self) -> Option<u64> {
        u64::try_from(self.value(Key::RetentionMs, None)).ok()
    }

    /// The oldest records go while a partition has more bytes than this; none has no bound. `retention.bytes`.
    pub fn retention_bytes(&self) -> Option<u64> {
        u64::try_from(self.value(Key::RetentionBytes, None)).ok()
    }

    /// A segment rolls at this size; `segment.bytes`.
    pub fn segment_bytes(&self, limits: &Limits) -> u64 {
        self.value(Key::SegmentBytes, Some(limits)) as u64
    }

    /// A segment rolls at this age; `segment.ms`, 7 days unless set.
    pub fn segment_ms(&self) -> u64 {
        self.value(Key::SegmentMs, None) as u64
    }

    /// The largest record batch; `max.message.bytes`.
    pub fn batch_bytes_max(&self, limits: &Limits) -> usize {
        self.value(Key::MaxMessageBytes, Some(limits)) as usize
    }

    /// When an append is acked; `durability`.
    pub fn durability(&self) -> Durability {
        match self.value(Key::Durability, None) {
            0 => Durability::QuorumDurable,
            _ => Durability::QuorumMemory,
        }
    }

    /// Whose clock the records carry; `message.timestamp.type`.
    pub fn timestamps(&self) -> Timestamps {
        match self.value(Key::TimestampType, None) {
            0 => Timestamps::CreateTime,
            _ => Timestamps::AppendTime,
        }
    }

    /// Sets one value from text. `InvalidSetting` names the range, or the nearest key that exists;
    /// `Unsupported` is for Kafka's values that this house does not have.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let (index, setting) = keys::find(key)?;
        self.set[index] = Some(setting.parse(value)?);
        Ok(())
    }

    /// Goes back to the default. `InvalidSetting` when there is no such key.
    pub fn unset(&mut self, key: &str) -> Result<()> {
        self.set[keys::find(key)?.0] = None;
        Ok(())
    }

    /// These settings with changes on top, all or none; an empty value goes back to the default.
    pub fn altered<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<TopicSettings> {
        let mut altered = self.clone();
        for (key, value) in changes {
            if value.is_empty() { altered.unset(key)? } else { altered.set(key, value)? }
        }
        Ok(altered)
    }

    /// What was set, as text, in the order of [`SETTINGS`].
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        SETTINGS.iter().zip(self.set).filter_map(|(setting, set)| Some((setting.key, setting.format(set?))))
    }

    /// Every setting with the value that holds on a node with these limits.
    pub fn effective(&self, limits: &Limits) -> Vec<Effective> {
        let describe = |(setting, set): (&'static Setting, Option<i64>)| Effective {
            key: setting.key,
            value: setting.format(set.unwrap_or_else(|| setting.default(Some(limits)))),
            source: if set.is_some() { Source::Topic } else { Source::Default },
            about: setting.about,
        };
        SETTINGS.iter().zip(self.set).map(describe).collect()
    }

    fn value(&self, key: Key, limits: Option<&Limits>) -> i64 {
        let index = key as usize;
        self.set[index].unwrap_or_else(|| SETTINGS[index].default(limits))
    }
}
