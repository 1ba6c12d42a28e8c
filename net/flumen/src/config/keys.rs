//! The one table of configuration keys: name, kind of value, meaning, and where the value is kept. The file's
//! reader, the flags, `flumen config`, the sample file and the documentation all come from it. Defaults are those
//! of [`Config::default`].

use super::units::{
    self, Address, CoreList, Count, Directory, Duration, Filter, Kind, Micros, OneOf, PathOrAuto, Shards,
    Size, Switch,
};
use crate::config::Config;
use flumen_model::topic::{SETTINGS, Setting};

/// Settings of a topic whose defaults have keys of their own, so that there is one place for each.
const ELSEWHERE: [&str; 2] = ["segment.bytes", "max.message.bytes"];

/// One key.
pub(crate) struct Key {
    /// The table that it stands in; empty for the top.
    pub(crate) table: &'static str,
    /// Its name there.
    pub(crate) name: &'static str,
    /// What to write.
    pub(crate) kind: &'static str,
    /// What it does and why it is as it is.
    pub(crate) meaning: &'static str,
    place: Place,
}

enum Place {
    Own { set: fn(&mut Config, &str) -> Result<(), String>, literal: fn(&Config) -> String },
    Topic(&'static Setting),
}

impl Key {
    /// The name with its table: `limits.connections_max`.
    pub(crate) fn path(&self) -> String {
        if self.table.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.table, self.name) }
    }

    /// Takes a value from text, or says what would be right.
    pub(crate) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self.place {
            Place::Own { set, .. } => set(config, text),
            Place::Topic(setting) => {
                let text = plain_number(setting.key, text);
                // The model's sentence begins with the name of the setting, which the caller says already.
                config.topic.set(setting.key, &text).map_err(|error| {
                    error
                        .message
                        .strip_prefix(setting.key)
                        .map_or(error.message.clone(), |m| m.trim().to_owned())
                })
            }
        }
    }

    /// The value that holds, as a TOML literal.
    pub(crate) fn literal(&self, config: &Config) -> String {
        match self.place {
            Place::Own { literal, .. } => literal(config),
            Place::Topic(setting) => {
                let effective = config.topic.effective(&config.limits);
                let value = effective.into_iter().find(|have| have.key == setting.key);
                let value = value.expect("every setting has an effective value").value;
                if value.parse::<i64>().is_ok() { value } else { units::quoted(&value) }
            }
        }
    }
}

/// Topics' settings carry their unit in their name and take plain numbers; here `7d` and `1GiB` are fine too.
fn plain_number(key: &str, text: &str) -> String {
    let number = if key.ends_with(".ms") {
        units::millis(text)
    } else if key.ends_with(".bytes") {
        units::bytes(text)
    } else {
        None
    };
    number.map_or_else(|| text.to_owned(), |number| number.to_string())
}

macro_rules! key {
    ($table:literal $name:literal, $kind:ident, $($field:ident).+, $meaning:literal) => {
        Key {
            table: $table,
            name: $name,
            kind: kind_name(|config: &Config| &config.$($field).+, |_: $kind| {}),
            meaning: $meaning,
            place: Place::Own {
                set: |config, text| {
                    config.$($field).+ = $kind::parse(text)?;
                    Ok(())
                },
                literal: |config| $kind::literal(&config.$($field).+),
            },
        }
    };
}

/// The name of kind `K` for the field's own type, which the compiler finds out from the two closures.
fn kind_name<T, K: Kind<T>>(_field: fn(&Config) -> &T, _kind: fn(K)) -> &'static str {
    K::NAME
}

/// All keys, in the order of the sample file.
pub(crate) fn keys() -> Vec<Key> {
    let mut keys = node();
    keys.extend(topic());
    keys.extend(limits());
    keys
}

fn node() -> Vec<Key> {
    vec![
        key!("" "data", Directory, data,
            "The data directory. An empty or missing one is formatted at the first start."),
        key!("" "require_existing", Switch, require_existing,
            "Refuse to start on an empty or missing data directory, since a mount that is missing looks like one. \
             Set it after the first start."),
        key!("" "native", Address, native,
            "Where the native protocol listens."),
        key!("" "insecure", Switch, insecure,
            "Allow listening on an address that other machines reach. There is neither encryption nor \
             authentication yet, so only do so in a network of your own."),
        key!("" "cores", CoreList, cores,
            "The processors that run the shards, such as [2, 3] or \"0-3,6\"; auto takes those that this process \
             may use."),
        key!("" "shards", Shards, shards,
            "Shards of a new data directory, which never change afterwards; auto makes one for each core."),
        key!("" "spin_us", Micros, spin_us,
            "How long an idle core spins before it sleeps. Spinning saves a wake-up of 10 to 40 us and costs \
             power; at most 100, since a core that spins for ever starves the kernel's work for its own acks."),
        key!("" "host", OneOf, host,
            "What drives disk and network."),
        key!("" "durable_write", OneOf, durable_write,
            "How a write is made durable: dsync is one operation (O_DSYNC), flush is a write and an fdatasync; \
             auto takes what `flumen tune probe` found faster here, else dsync. Both are equally safe."),
        key!("" "profile", PathOrAuto, profile,
            "The device profile that `flumen tune probe` wrote; auto is device-profile.toml in the data directory."),
        key!("" "journal_bytes", Size, limits.journal_bytes,
            "The journal of a shard, reserved at the first start. Recovery reads at most this much: 1 GiB takes \
             about a second."),
        key!("" "cache_bytes", Size, limits.cache_bytes,
            "Memory of a shard for the newest records, which readers near the end are served from."),
        key!("" "segment_bytes", Size, limits.segment_bytes,
            "A segment is closed at this size unless the topic says otherwise; whole segments are what retention \
             deletes."),
        key!("" "log_level", Filter, log_level,
            "What the log shows: error, warn, info, debug or trace, for all or by part, as in \
             info,flumen_log=debug."),
        key!("" "log_format", OneOf, log_format,
            "One line an event on standard error, for people (text) or for programs (json)."),
    ]
}

fn topic() -> impl Iterator<Item = Key> {
    SETTINGS.iter().filter(|setting| !ELSEWHERE.contains(&setting.key)).map(|setting| Key {
        table: "topic",
        name: setting.key,
        kind: topic_kind(setting.key),
        meaning: setting.about,
        place: Place::Topic(setting),
    })
}

fn topic_kind(key: &str) -> &'static str {
    if key.ends_with(".ms") {
        "duration or milliseconds"
    } else if key.ends_with(".bytes") {
        "size or bytes"
    } else {
        "word"
    }
}

fn limits() -> Vec<Key> {
    vec![
        key!("limits" "partitions_per_shard_max", Count, limits.partitions_per_shard_max,
            "Partitions of one shard; each may cost 16 KiB of memory."),
        key!("limits" "connections_max", Count, limits.connections_max,
            "Connections of the node; further ones are refused."),
        key!("limits" "requests_in_flight_per_connection_max", Count, limits.requests_in_flight_per_connection_max,
            "Requests of one connection that wait for their reply; beyond it the connection is not read."),
        key!("limits" "subscriptions_max", Count, limits.subscriptions_max,
            "Named subscriptions of the node."),
        key!("limits" "producers_per_partition_max", Count, limits.producers_per_partition_max,
            "Idempotent producers remembered by a partition; the least recently used is forgotten beyond it."),
        key!("limits" "batch_bytes_max", Size, limits.batch_bytes_max,
            "The largest record batch unless the topic says otherwise; never over 4 MiB."),
        key!("limits" "open_segments_max", Count, limits.open_segments_max,
            "Open segment files of a shard; the least recently used is closed beyond it."),
        key!("limits" "idle_ms_max", Duration, limits.idle_ms_max,
            "A connection without a byte for this long is closed."),
        key!("limits" "handshake_ms_max", Duration, limits.handshake_ms_max,
            "A connection must finish its handshake in this time."),
        key!("limits" "memory_flush_ms", Duration, limits.memory_flush_ms,
            "Records of topics with durability = quorum-memory are flushed within this time."),
        key!("limits" "disk_warn_bytes", Size, limits.disk_warn_bytes,
            "With less free space than this a warning is logged."),
        key!("limits" "disk_refuse_bytes", Size, limits.disk_refuse_bytes,
            "With less free space than this users' records are refused; reading and deleting go on."),
        key!("limits" "disk_reserve_bytes", Size, limits.disk_reserve_bytes,
            "Space kept in a file of each shard and given back when the disk is full, so that acked records get to their \
             segments and deleting can finish; users' records are refused until it is whole again."),
    ]
}

/// The key whose name is most like `path`; also by its last part alone, for a key in the wrong table.
pub(crate) fn nearest<'a>(keys: &'a [Key], path: &str) -> Option<&'a Key> {
    let likeness = |key: &Key| {
        let own = strsim::jaro_winkler(&key.path(), path);
        let last = path.rsplit_once('.').map_or(path, |(_, last)| last);
        own.max(strsim::jaro_winkler(key.name, last) - 0.01)
    };
    let best = keys.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= LIKENESS_MIN).then_some(best)
}

/// Below this a suggestion is noise.
const LIKENESS_MIN: f64 = 0.75;
