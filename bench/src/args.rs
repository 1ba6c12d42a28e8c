//! The words of `flumen bench`: verbs and their settings. Values only; it must never open or measure anything.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Measure this machine and the product on it, side by side.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub verb: Verb,
    /// How to run and where the report goes.
    #[command(flatten)]
    pub common: Common,
}

/// Settings of every verb.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE", global = true)]
    pub json: Option<PathBuf>,
    /// Write the report as a page with percentile plots to this file; it needs nothing else to be read.
    #[arg(long, value_name = "FILE", global = true)]
    pub html: Option<PathBuf>,
    /// Print the report as JSON instead of tables, and nothing else.
    #[arg(long, global = true)]
    pub json_only: bool,
    /// Interleaved rounds. A limit is only claimed over 9 or more.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub rounds: u16,
    /// Seconds that each part of a round is measured.
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds, global = true)]
    pub seconds: Duration,
    /// Directory for the files of the floors: on the disk that is meant. They are removed afterwards.
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    pub dir: PathBuf,
    /// The journal of the node that is started, in MiB: small enough to go round while it is measured, so that every
    /// figure has the journal's whole life in it. Low rates need a smaller one, or more seconds.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=1 << 20), global = true)]
    pub journal_mib: u32,
    /// The CPUs of server and client, as `0,1` or `2-3`; the first two that are allowed when not given.
    #[arg(long, value_name = "LIST", default_value = "", value_parser = cpus, global = true)]
    pub cpus: CpuList,
    /// The address of a running node to load; one is started when not given.
    #[arg(long, value_name = "ADDR", global = true)]
    pub server: Option<String>,
    /// Only these parts, beside the floors and the part that the bench is about: `large,loopback`.
    #[arg(long, value_name = "PARTS", value_delimiter = ',', global = true)]
    pub only: Vec<String>,
    /// Which host to measure: the one that nodes use when not given.
    #[arg(long, value_name = "NAME", global = true)]
    pub host: Option<String>,
}

/// What to measure.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The least that round trips, durable writes, acks and streams of bytes cost on this machine.
    Floor,
    /// The hosts that a node can run on, side by side with the blocking floor.
    Hosts,
    /// A durable ack with one request in flight, beside the floors.
    Ack,
    /// The most that a node takes: pipelined singles, batches with a subscriber, large appends, many partitions.
    Load,
    /// Catching up from segments, producers beside a reader, delivery at the tail.
    Read,
    /// From kill -9 to the first ack: with a full journal, ten times the data, many partitions.
    Restart,
    /// A steady open load for minutes: the far percentiles and the longest stalls with their causes.
    Soak {
        /// How long.
        #[arg(value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=10_080))]
        minutes: u32,
        /// Requests a second, of one record of 256 bytes each.
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
    },
}

/// CPUs by number, as given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is no number of seconds"))?;
    match seconds {
        0.01..=3600.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a part runs 0.01 to 3600 seconds".into()),
    }
}

fn cpus(text: &str) -> Result<CpuList, String> {
    let mut cpus = Vec::new();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let number = |text: &str| {
            text.trim().parse::<u16>().map_err(|_| format!("'{item}' is no CPU or range of CPUs"))
        };
        cpus.extend((number(first)?..=number(last)?).map(usize::from));
    }
    Ok(CpuList(cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Binary {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(line: &str) -> Result<BenchArgs, clap::Error> {
        Binary::try_parse_from(["flumen"].into_iter().chain(line.split(' '))).map(|binary| binary.bench)
    }

    #[test]
    fn settings_may_stand_before_or_behind_the_verb() {
        for line in
            ["floor --rounds 3 --seconds 0.5 --cpus 1,3-4", "--rounds 3 --seconds 0.5 --cpus 1,3-4 floor"]
        {
            let args = parse(line).unwrap();
            assert_eq!((args.verb, args.common.rounds), (Verb::Floor, 3));
            assert_eq!(args.common.seconds, Duration::from_millis(500));
            assert_eq!(args.common.cpus, CpuList(vec![1, 3, 4]));
        }
    }

    #[test]
    fn without_settings_a_limit_can_be_claimed() {
        let args = parse("floor").unwrap();
        assert_eq!(usize::from(args.common.rounds), crate::measure::claim::ROUNDS_MIN);
    }

    #[test]
    fn nonsense_is_refused_before_anything_runs() {
        for line in ["floor --rounds 0", "floor --seconds nan", "floor --seconds -1", "floor --cpus a", "fly"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
