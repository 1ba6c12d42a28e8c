//! Flags of the verbs that work on a node's own machine: start, quickstart, config, check, repair.

use super::values::{Pair, TopicPartition};
use crate::config::Override;
use clap::Args;
use std::path::PathBuf;

/// The configuration: a file, and flags above it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// The configuration file. Without one the defaults hold.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory [key: data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Where the native protocol listens [key: native].
    #[arg(long, value_name = "ADDR")]
    pub(crate) native: Option<String>,
    /// The processors that run the shards, such as 0-3,6, or auto [key: cores].
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<String>,
    /// Shards of a new data directory, or auto [key: shards].
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<String>,
    /// How a write is made durable: auto, dsync or flush [key: durable_write].
    #[arg(long, value_name = "HOW")]
    pub(crate) durable_write: Option<String>,
    /// What the log shows: error, warn, info, debug, trace [key: log_level].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// How the log is written: text or json [key: log_format].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Refuse an empty or missing data directory [key: require_existing].
    #[arg(long)]
    pub(crate) require_existing: bool,
    /// Allow listening where other machines reach it, without encryption [key: insecure].
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Any other key of the configuration, such as limits.connections_max=100. May be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Pair>,
}

impl ConfigArgs {
    /// What the flags say, by key. A flag of its own stands above --set.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let mut all: Vec<Override> = self
            .set
            .iter()
            .map(|pair| Override {
                path: pair.key.clone(),
                text: pair.value.clone(),
                flag: "--set".to_owned(),
            })
            .collect();
        let mut add = |path: &str, text: Option<&str>| {
            if let Some(text) = text {
                let flag = format!("--{}", path.replace('_', "-"));
                all.push(Override { path: path.to_owned(), text: text.to_owned(), flag });
            }
        };
        add("data", self.data.as_deref());
        add("native", self.native.as_deref());
        add("cores", self.cores.as_deref());
        add("shards", self.shards.as_deref());
        add("durable_write", self.durable_write.as_deref());
        add("log_level", self.log_level.as_deref());
        add("log_format", self.log_format.as_deref());
        add("require_existing", self.require_existing.then_some("true"));
        add("insecure", self.insecure.then_some("true"));
        all
    }
}

/// `flumen start`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Runs until SIGTERM or SIGINT, then stops cleanly.

Examples:
  flumen start --data ./data
  flumen start --config /etc/flumen/flumen.toml
  flumen start --data ./data --cores 0-1 --set limits.connections_max=100")]
pub(crate) struct StartArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// `flumen quickstart`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Starts a small node on 127.0.0.1 in a new directory, publishes a log of this machine line by line until the figures
mean something, lets three subscribers read all of it and compare it with the file, and prints what it cost beside
what this machine can do at best. Ends with 0 only if every line came back. The data stays.

Examples:
  flumen quickstart
  flumen quickstart access.log --data ./data --stay")]
pub(crate) struct QuickstartArgs {
    /// A file whose lines are published; without one, a log of this machine that holds nothing of its users.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The data directory; without one, a new one here.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Keep the node running afterwards, to try the other verbs.
    #[arg(long)]
    pub(crate) stay: bool,
    /// Publish so many lines; without it at least 200,000, and until the journal has gone round twice.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) lines: Option<u64>,
}

/// `flumen config`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints a complete TOML file. Nothing is started or written. Takes the flags of `flumen start`.

Examples:
  flumen config
  flumen config --config /etc/flumen/flumen.toml
  flumen config --sample > flumen.toml")]
pub(crate) struct ShowConfigArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print a file to start from, with every key explained and switched off.
    #[arg(long)]
    pub(crate) sample: bool,
}

/// `flumen check`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Reads everything and changes nothing; the node must be stopped. Exit codes: 0 whole, 65 acked data is damaged.

Examples:
  flumen check /var/lib/flumen")]
pub(crate) struct CheckArgs {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// `flumen repair`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Gives up the damaged records of the partitions named, and of no other, so that the rest is served again. What is
lost stays lost: look for another copy first. The node must be stopped.

Examples:
  flumen check /var/lib/flumen
  flumen repair /var/lib/flumen --accept-loss orders/0")]
pub(crate) struct RepairArgs {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// A partition whose damaged records are given up. May be given again.
    #[arg(long, value_name = "TOPIC/PARTITION", required = true)]
    pub(crate) accept_loss: Vec<TopicPartition>,
}
