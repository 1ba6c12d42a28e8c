//! The command line: every verb and flag, its help and its examples. It says what was asked and does nothing.

pub(crate) mod node;
pub(crate) mod records;
pub(crate) mod topic;
pub(crate) mod values;

#[cfg(test)]
mod tests;

use crate::config::NATIVE_PORT;
use crate::exit;
use clap::{Args, Parser, Subcommand};
use flumen_bench::BenchArgs;
use flumen_tuning::TuneArgs;
use node::{CheckArgs, QuickstartArgs, RepairArgs, ShowConfigArgs, StartArgs};
use records::{ConsumeArgs, ProduceArgs};
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use topic::{SubscriptionCommand, TopicCommand};

/// A distributed, durable log.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "flumen",
    version,
    about,
    long_about = "A distributed, durable log: topics of records, in order, on disk before they are acknowledged.",
    after_help = "Start with `flumen quickstart`. `flumen VERB --help` shows examples.",
    after_long_help = exit::help(),
    arg_required_else_help = true,
    subcommand_required = true
)]
pub(crate) struct Cli {
    /// The node to ask [default: 127.0.0.1:9644].
    #[arg(id = "node", long = "server", global = true, value_name = "ADDR")]
    pub(crate) node: Option<SocketAddr>,
    /// Print JSON instead of text.
    #[arg(id = "print_json", long = "json", global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The node to ask.
    pub(crate) fn server(&self) -> SocketAddr {
        self.node.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, NATIVE_PORT)))
    }
}

/// The verbs.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Command {
    /// Run a node.
    Start(StartArgs),
    /// See it work: a node, a topic, records in and out.
    Quickstart(QuickstartArgs),
    /// Make, list, describe, change, trim and delete topics.
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Write lines as records.
    Produce(ProduceArgs),
    /// Read records as lines.
    Consume(ConsumeArgs),
    /// List, describe, move and delete named subscriptions.
    #[command(subcommand)]
    Subscription(SubscriptionCommand),
    /// Show what a running node is doing.
    Status,
    /// Look for damage in a data directory.
    Check(CheckArgs),
    /// Give up damaged records, so that the rest is served again.
    Repair(RepairArgs),
    /// Print the configuration that holds, where each value comes from, and what it means.
    Config(ShowConfigArgs),
    /// Look at this machine and measure its disk.
    Tune(TuneArgs),
    /// Measure this machine and the product on it, side by side.
    // Its own --json and --server would hide the ones above, which mean the same for every verb: `parse` reads
    // `--json FILE` as --json-file, and whoever runs it hands it the node of --server.
    #[command(
        mut_arg("json", |arg| arg.long(REPORT).help("Write the report as JSON to this file; `--json FILE` is the same")),
        mut_arg("server", |arg| arg.long("load").hide(true))
    )]
    Bench(BenchArgs),
}

/// The command line, or clap's answer to it: help, version, or what is wrong.
pub(crate) fn parse(
    args: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(name_report(args.into_iter().map(Into::into).collect()))
}

/// The flag of `bench` for its report as JSON.
const REPORT: &str = "json-file";

/// In `bench`, a `--json` with a file is the report's file; without one it is the flag of every verb.
fn name_report(mut args: Vec<OsString>) -> Vec<OsString> {
    let Some(bench) = args.iter().skip(1).position(|arg| arg == "bench") else { return args };
    for at in bench + 1..args.len() {
        let Some(text) = args[at].to_str() else { continue };
        let named = text.strip_prefix("--json=").map(|file| format!("--{REPORT}={file}"));
        let file = args.get(at + 1).filter(|next| text == "--json" && is_file(next));
        if let Some(named) = named.or(file.map(|_| format!("--{REPORT}"))) {
            args[at] = named.into();
        }
    }
    args
}

/// Whether an argument of `bench` is a file's name rather than a flag or one of its verbs.
fn is_file(arg: &OsStr) -> bool {
    let verbs = BenchArgs::augment_args(clap::Command::new("bench"));
    !arg.as_encoded_bytes().starts_with(b"-")
        && arg.to_str().is_none_or(|arg| verbs.find_subcommand(arg).is_none())
}
