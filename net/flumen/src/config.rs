//! The configuration of a node: defaults, one TOML file above them, flags above that. Every key stands in one
//! table (`config/keys.rs`). It is read once, before anything starts; nothing here changes afterwards.

mod file;
mod keys;
mod show;
pub(crate) mod units;

#[cfg(test)]
mod tests;

pub(crate) use show::{effective_json, effective_text, sample};

use flumen_model::limits::{
    BATCH_BYTES_HARD_MAX, BATCH_BYTES_MAX_MIN, JOURNAL_BYTES_MIN, Limits, SEGMENT_BYTES_MIN,
};
use flumen_model::topic::TopicSettings;
use flumen_model::{Code, Error, Result};
use flumen_tuning::DurableWrite;
use keys::{Key, keys, nearest};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The port of the native protocol.
pub(crate) const NATIVE_PORT: u16 = 9644;
/// A core that spins longer than this starves the kernel's work for its own acks.
const SPIN_US_MAX: u64 = 100;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What drives disk and network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostKind {
    /// The glommio runtime.
    Glommio,
}

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurableChoice {
    /// As the device profile says, else O_DSYNC.
    Auto,
    /// A write with O_DSYNC.
    Dsync,
    /// A write, then fdatasync.
    Flush,
}

/// The processors that run the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Those that this process may use.
    Auto,
    /// These.
    List(Vec<usize>),
}

/// The configuration of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Refuse to format an empty or missing data directory.
    pub(crate) require_existing: bool,
    /// Where the native protocol listens.
    pub(crate) native: SocketAddr,
    /// Listening where other machines reach it is allowed.
    pub(crate) insecure: bool,
    /// The processors that run the shards.
    pub(crate) cores: Cores,
    /// Shards of a new data directory; none makes one for each core.
    pub(crate) shards: Option<u16>,
    /// How long an idle core spins, in microseconds.
    pub(crate) spin_us: u64,
    /// What drives disk and network.
    pub(crate) host: HostKind,
    /// How a write is made durable.
    pub(crate) durable_write: DurableChoice,
    /// The device profile; none is the one in the data directory.
    pub(crate) profile: Option<PathBuf>,
    /// What the log shows.
    pub(crate) log_level: String,
    /// How the log is written.
    pub(crate) log_format: LogFormat,
    /// The node's limits.
    pub(crate) limits: Limits,
    /// Settings of topics that do not say otherwise.
    pub(crate) topic: TopicSettings,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: PathBuf::from("/var/lib/flumen"),
            require_existing: false,
            native: SocketAddr::from((Ipv4Addr::LOCALHOST, NATIVE_PORT)),
            insecure: false,
            cores: Cores::Auto,
            shards: None,
            spin_us: 50,
            host: HostKind::Glommio,
            durable_write: DurableChoice::Auto,
            profile: None,
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            limits: Limits::production(),
            topic: TopicSettings::default(),
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The program.
    Default,
    /// This line of the file.
    File(usize),
    /// This flag.
    Flag(String),
}

/// One value given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Override {
    /// The key: `limits.connections_max`.
    pub(crate) path: String,
    /// The value.
    pub(crate) text: String,
    /// The flag that gave it.
    pub(crate) flag: String,
}

/// A configuration, and where each value that is no default comes from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) config: Config,
    sources: BTreeMap<String, Source>,
}

impl Loaded {
    /// The defaults, then the file, then the flags; checked as a whole.
    pub(crate) fn read(file: Option<&Path>, overrides: &[Override]) -> Result<Loaded> {
        let Some(path) = file else { return Loaded::from_text("", "", overrides) };
        // The one file that is read before there is a host to read it through.
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(
                Code::InvalidSetting,
                format!(
                    "the configuration {} cannot be read: {error}; give another with --config",
                    path.display()
                ),
            )
        })?;
        Loaded::from_text(&path.display().to_string(), &text, overrides)
    }

    /// Like [`Loaded::read`], from the text of a file called `name`.
    pub(crate) fn from_text(name: &str, text: &str, overrides: &[Override]) -> Result<Loaded> {
        let keys = keys();
        let mut loaded = Loaded::default();
        for entry in file::entries(name, text)? {
            let place = format!("{name} line {}", entry.line);
            loaded.set(&keys, &entry.path, &entry.text, &place, Source::File(entry.line))?;
        }
        for given in overrides {
            loaded.set(&keys, &given.path, &given.text, &given.flag, Source::Flag(given.flag.clone()))?;
        }
        loaded.config.check()?;
        Ok(loaded)
    }

    fn set(&mut self, keys: &[Key], path: &str, text: &str, place: &str, source: Source) -> Result<()> {
        let wrong = |message: String| Error::new(Code::InvalidSetting, format!("{place}: {message}"));
        let Some(key) = keys.iter().find(|key| key.path() == path) else {
            let shown: String = path.chars().take(64).collect();
            let hint = match nearest(keys, path) {
                Some(key) => format!("did you mean {}?", key.path()),
                None => "`flumen config` lists all keys".to_owned(),
            };
            return Err(wrong(format!("there is no key {shown:?}; {hint}")));
        };
        key.set(&mut self.config, text).map_err(|message| wrong(format!("{path} {message}")))?;
        self.sources.insert(path.to_owned(), source);
        Ok(())
    }

    /// Where the value of a key comes from.
    pub(crate) fn source(&self, path: &str) -> Source {
        self.sources.get(path).cloned().unwrap_or(Source::Default)
    }
}

impl Config {
    /// What no single value can know: how values fit each other and the formats.
    fn check(&self) -> Result<()> {
        let limits = &self.limits;
        let rules = [
            (
                self.insecure || self.native.ip().is_loopback(),
                format!(
                    "native = {} can be reached from other machines, and there is neither encryption nor \
                     authentication yet: listen on 127.0.0.1, or allow it with insecure = true (--insecure) in a \
                     network of your own",
                    self.native
                ),
            ),
            (self.spin_us <= SPIN_US_MAX, format!("spin_us = {} is over {SPIN_US_MAX}", self.spin_us)),
            (
                limits.journal_bytes >= JOURNAL_BYTES_MIN,
                format!("journal_bytes must be at least {} MiB", JOURNAL_BYTES_MIN >> 20),
            ),
            (
                limits.segment_bytes >= SEGMENT_BYTES_MIN,
                format!("segment_bytes must be at least {} KiB", SEGMENT_BYTES_MIN >> 10),
            ),
            (
                (BATCH_BYTES_MAX_MIN..=BATCH_BYTES_HARD_MAX).contains(&limits.batch_bytes_max),
                format!(
                    "limits.batch_bytes_max must be from {BATCH_BYTES_MAX_MIN} bytes to {} MiB",
                    BATCH_BYTES_HARD_MAX >> 20
                ),
            ),
            (
                limits.disk_warn_bytes >= limits.disk_refuse_bytes,
                "limits.disk_warn_bytes must not be below limits.disk_refuse_bytes: the warning comes first"
                    .to_owned(),
            ),
            (
                limits.connections_max > 0
                    && limits.partitions_per_shard_max > 0
                    && limits.open_segments_max > 0,
                "limits.connections_max, partitions_per_shard_max and open_segments_max must be at least 1"
                    .to_owned(),
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(Error::new(Code::InvalidSetting, message)),
            None => Ok(()),
        }
    }

    /// Which way of writing durably to use: the configuration's word, else the device profile's, else O_DSYNC.
    /// The second value is a warning to log, when the profile belongs to another device than the one here.
    pub(crate) fn durable_write(&self) -> (DurableWrite, Option<String>) {
        match self.durable_write {
            DurableChoice::Dsync => (DurableWrite::Dsync, None),
            DurableChoice::Flush => (DurableWrite::Flush, None),
            DurableChoice::Auto => self.profiled(),
        }
    }

    fn profiled(&self) -> (DurableWrite, Option<String>) {
        let file = self.profile.clone().unwrap_or_else(|| self.data.join(flumen_tuning::FILE_NAME));
        let Some(profile) = flumen_tuning::load_profile_file(&file) else {
            let warning = self.profile.as_ref().map(|file| {
                format!("{} holds no device profile that this version can read; using dsync", file.display())
            });
            return (DurableWrite::Dsync, warning);
        };
        let now = flumen_tuning::Fingerprint::of_directory(&self.data);
        match profile.mismatch(&now) {
            Some(difference) => {
                let warning = format!(
                    "the device profile {} does not fit: {difference}; using dsync until `flumen tune probe` has \
                     run again",
                    file.display()
                );
                (DurableWrite::Dsync, Some(warning))
            }
            None => (profile.durable_write(), None),
        }
    }
}
