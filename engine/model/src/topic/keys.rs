//! The table of topic settings: key, number in stored bytes, values, default. One row is all that a new setting
//! needs. Numbers are never used again.

use crate::error::{Code, Error, Result};
use crate::limits::{BATCH_BYTES_HARD_MAX, BATCH_BYTES_MAX_MIN, Limits, SEGMENT_BYTES_MIN};

const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;

/// A setting's row in [`SETTINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    RetentionMs,
    RetentionBytes,
    SegmentBytes,
    SegmentMs,
    MaxMessageBytes,
    TimestampType,
    CleanupPolicy,
    Durability,
}

pub(super) const SETTING_COUNT: usize = Key::Durability as usize + 1;

/// One setting that a topic can have.
#[derive(Debug)]
pub struct Setting {
    /// Kafka's name of it.
    pub key: &'static str,
    /// One sentence on what it does.
    pub about: &'static str,
    /// Its number in stored bytes.
    pub(super) number: u8,
    values: Values,
    preset: Preset,
}

#[derive(Debug)]
enum Values {
    Number {
        min: i64,
        max: i64,
    },
    /// Kept as the place in the list.
    OneOf(&'static [&'static str]),
}

#[derive(Debug)]
enum Preset {
    Fixed(i64),
    Node(fn(&Limits) -> i64),
}

/// All settings of a topic.
pub static SETTINGS: [Setting; SETTING_COUNT] = [
    Setting {
        key: "retention.ms",
        about: "Records older than this many milliseconds may be deleted; -1 keeps them for ever.",
        number: 1,
        values: Values::Number { min: -1, max: i64::MAX },
        preset: Preset::Fixed(WEEK_MS),
    },
    Setting {
        key: "retention.bytes",
        about: "The oldest records are deleted while a partition holds more bytes than this; -1 has no bound.",
        number: 2,
        values: Values::Number { min: -1, max: i64::MAX },
        preset: Preset::Fixed(-1),
    },
    Setting {
        key: "segment.bytes",
        about: "A segment is closed at this many bytes; whole segments are what retention deletes.",
        number: 3,
        values: Values::Number { min: SEGMENT_BYTES_MIN as i64, max: i32::MAX as i64 },
        preset: Preset::Node(|limits| limits.segment_bytes as i64),
    },
    Setting {
        key: "segment.ms",
        about: "A segment is closed at this age in milliseconds, even when it is not full.",
        number: 4,
        values: Values::Number { min: 1, max: i64::MAX },
        preset: Preset::Fixed(WEEK_MS),
    },
    Setting {
        key: "max.message.bytes",
        about: "The largest record batch in bytes, as it comes, compressed or not.",
        number: 5,
        values: Values::Number { min: BATCH_BYTES_MAX_MIN as i64, max: BATCH_BYTES_HARD_MAX as i64 },
        preset: Preset::Node(|limits| limits.batch_bytes_max as i64),
    },
    Setting {
        key: "message.timestamp.type",
        about: "Whose clock the records carry: the producer's or the leader's at the append.",
        number: 6,
        values: Values::OneOf(&["CreateTime", "LogAppendTime"]),
        preset: Preset::Fixed(0),
    },
    Setting {
        key: "cleanup.policy",
        about: "How old records go: only by age and size.",
        number: 7,
        values: Values::OneOf(&["delete"]),
        preset: Preset::Fixed(0),
    },
    Setting {
        key: "durability",
        about: "When an append is acked: on a majority's stable storage, or in a majority's memory.",
        number: 8,
        values: Values::OneOf(&["quorum-durable", "quorum-memory"]),
        preset: Preset::Fixed(0),
    },
];

impl Setting {
    /// The value of a text, in range.
    pub(super) fn parse(&self, text: &str) -> Result<i64> {
        match self.values {
            Values::Number { min, max } => {
                let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
                number.ok_or_else(|| self.refuse(text, format!("a whole number from {min} to {max}")))
            }
            Values::OneOf(_)
                if self.number == SETTINGS[Key::CleanupPolicy as usize].number && compacts(text) =>
            {
                Err(Error::new(Code::Unsupported, "compaction is not available; use cleanup.policy=delete"))
            }
            Values::OneOf(names) => {
                let place = names.iter().position(|&name| name == text.trim());
                place.map(|place| place as i64).ok_or_else(|| self.refuse(text, names.join(" or ")))
            }
        }
    }

    /// The text of a value.
    pub(super) fn format(&self, value: i64) -> String {
        match self.values {
            Values::Number { .. } => value.to_string(),
            Values::OneOf(names) => names[value as usize].to_string(),
        }
    }

    /// Whether a stored value has a meaning here. Ranges are not asked: what was accepted once stays.
    pub(super) fn knows(&self, value: i64) -> bool {
        match self.values {
            Values::Number { .. } => value >= -1,
            Values::OneOf(names) => usize::try_from(value).is_ok_and(|place| place < names.len()),
        }
    }

    /// The value where nothing was set.
    pub(super) fn default(&self, limits: Option<&Limits>) -> i64 {
        match self.preset {
            Preset::Fixed(value) => value,
            Preset::Node(of) => of(limits.expect("a setting with a node's default is asked with its limits")),
        }
    }

    fn refuse(&self, text: &str, wanted: String) -> Error {
        let text: String = text.chars().take(64).collect();
        Error::new(Code::InvalidSetting, format!("{} cannot be {text:?}; it must be {wanted}", self.key))
    }
}

fn compacts(policy: &str) -> bool {
    policy.split(',').any(|part| part.trim() == "compact")
}

/// The place and row of a key, or an error that names the nearest one.
pub(super) fn find(key: &str) -> Result<(usize, &'static Setting)> {
    SETTINGS.iter().enumerate().find(|(_, setting)| setting.key == key).ok_or_else(|| unknown(key))
}

fn unknown(key: &str) -> Error {
    // Bounded before it is compared or shown: it may be a stranger's.
    let key: String = key.chars().take(64).collect();
    let likeness = |setting: &&Setting| strsim::jaro_winkler(setting.key, &key);
    let nearest =
        SETTINGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).expect("there are settings");
    Error::new(
        Code::InvalidSetting,
        format!("there is no topic setting {key:?}; did you mean {}?", nearest.key),
    )
}
