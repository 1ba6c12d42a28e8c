//! What a quickstart shows in the end: figures with the machine's own beside them, and what to try next. Pure.

use super::readers::Testimony;
use crate::print::units;
use flumen_bench::measure::Histogram;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that was found out.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Whether every line came back to every subscriber, each once.
    pub(crate) whole: bool,
    /// What was published.
    pub(crate) source: String,
    /// Its lines.
    pub(crate) source_lines: u64,
    /// Where the node listens.
    pub(crate) server: String,
    /// Where its data lies.
    pub(crate) data: PathBuf,
    /// Its shards.
    pub(crate) shards: u16,
    /// When an ack leaves.
    pub(crate) durability: String,
    /// The topic.
    pub(crate) topic: String,
    /// Its partitions.
    pub(crate) partitions: u32,
    /// Lines published and acked.
    pub(crate) lines: u64,
    /// Records that the topic has.
    pub(crate) records: u64,
    /// How the lines went that were sent as fast as possible.
    pub(crate) fast: Rate,
    /// From the send of a line to its durable ack, one at a time.
    pub(crate) ack: Latency,
    /// The same for a bare program on this machine.
    pub(crate) floor: Option<Latency>,
    /// How often the journals went round, the fewest of all shards.
    pub(crate) journal_turns: u64,
    /// Journal bytes of a shard.
    pub(crate) journal_bytes: u64,
    /// The subscribers; the last one joined late.
    pub(crate) subscribers: Vec<Subscriber>,
}

/// So much in such a time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rate {
    lines: u64,
    bytes: u64,
    seconds: f64,
    #[serde(skip)]
    took: Duration,
}

/// Percentiles in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    count: u64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
}

/// What one subscriber got.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subscriber {
    late: bool,
    #[serde(flatten)]
    rate: Rate,
    wrong: Option<String>,
}

impl Rate {
    /// So many lines of so many bytes in this time.
    pub(crate) fn new(lines: u64, bytes: u64, took: Duration) -> Rate {
        Rate { lines, bytes, seconds: took.as_secs_f64(), took }
    }

    fn text(&self) -> String {
        format!(
            "{} lines, {} in {}: {} lines/s, {}/s",
            units::count(self.lines),
            units::bytes(self.bytes),
            units::span(self.took),
            units::count(units::per_second(self.lines, self.took)),
            units::bytes(units::per_second(self.bytes, self.took)),
        )
    }
}

impl Latency {
    /// The percentiles of a histogram.
    pub(crate) fn of(histogram: &Histogram) -> Latency {
        let [p50_us, p99_us, p999_us] = [0.5, 0.99, 0.999].map(|quantile| histogram.quantile_us(quantile));
        Latency { count: histogram.count(), p50_us, p99_us, p999_us }
    }

    fn text(&self) -> String {
        let micros = |us: f64| units::span(Duration::from_nanos((us * 1e3) as u64));
        format!(
            "p50 {:>9}   p99 {:>9}   p99.9 {:>9}",
            micros(self.p50_us),
            micros(self.p99_us),
            micros(self.p999_us)
        )
    }

    fn over(&self, floor: &Latency) -> String {
        let ratio =
            |own: f64, floor: f64| if floor > 0.0 { format!("{:.1} x", own / floor) } else { "-".to_owned() };
        format!(
            "p50 {:>9}   p99 {:>9}   p99.9 {:>9}",
            ratio(self.p50_us, floor.p50_us),
            ratio(self.p99_us, floor.p99_us),
            ratio(self.p999_us, floor.p999_us)
        )
    }
}

impl Subscriber {
    /// What it said.
    pub(crate) fn of(testimony: Testimony, late: bool) -> Subscriber {
        let rate = Rate::new(testimony.lines, testimony.bytes, testimony.took);
        Subscriber { late, rate, wrong: testimony.wrong }
    }

    /// Whether it got every line.
    pub(crate) fn is_whole(&self) -> bool {
        self.wrong.is_none()
    }

    fn text(&self) -> String {
        let name = if self.late { "joined late" } else { "from the start" };
        match &self.wrong {
            None => format!("{name:<14}  {}", self.rate.text()),
            Some(wrong) => {
                format!("{name:<14}  WRONG after {} lines: {wrong}", units::count(self.rate.lines))
            }
        }
    }
}

impl Report {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, what: &str| {
            let _ = writeln!(text, "{name:<12}{what}");
        };
        row(
            "published",
            &format!("{} lines, all acked, in {} partitions", units::count(self.lines), self.partitions),
        );
        row("durability", &format!("{}: {}", self.durability, promise(&self.durability)));
        row("throughput", &self.fast.text());
        row(
            "ack",
            &format!("{}   one line at a time, {} of them", self.ack.text(), units::count(self.ack.count)),
        );
        match &self.floor {
            Some(floor) => {
                row(
                    "floor",
                    &format!("{}   a bare program here: read 256 bytes, write durably, answer", floor.text()),
                );
                row("ack / floor", &self.ack.over(floor));
            }
            None => row("floor", "could not be measured on this disk"),
        }
        let journal = format!(
            "{} in each of {}",
            units::bytes(self.journal_bytes),
            units::counted(self.shards.into(), "shard")
        );
        row("journal", &format!("{journal}, gone round {}", units::counted(self.journal_turns, "time")));
        for (place, subscriber) in self.subscribers.iter().enumerate() {
            row(if place == 0 { "read back" } else { "" }, &subscriber.text());
        }
        row("compared", &self.verdict());
        row("data", &self.data.display().to_string());
        text
    }

    fn verdict(&self) -> String {
        let lines = units::count(self.lines);
        match self.whole {
            true => format!(
                "every subscriber got all {lines} lines as they are in the file, in order, none twice"
            ),
            false if self.records != self.lines => {
                format!(
                    "WRONG: {lines} lines were published, but the topic has {}",
                    units::count(self.records)
                )
            }
            false => "WRONG: not every line came back as it was published".to_owned(),
        }
    }

    /// What to try next. The node goes on when it `stays`.
    pub(crate) fn next(&self, stays: bool) -> String {
        let usual = format!("127.0.0.1:{}", crate::config::NATIVE_PORT);
        let server =
            if self.server == usual || !stays { String::new() } else { format!(" --server {}", self.server) };
        let (topic, data) = (&self.topic, self.data.display());
        let mut text = String::from("\nTry next");
        text.push_str(if stays { ", in another terminal:\n" } else { ":\n" });
        if !stays {
            let _ = writeln!(text, "  flumen start --data {data}");
        }
        let _ = write!(
            text,
            "  flumen{server} topic describe {topic}\n\
             \x20 flumen{server} consume {topic} --from start --count 5 --format json\n\
             \x20 echo hello | flumen{server} produce {topic}\n\
             \x20 flumen{server} status\n\
             Kill it as hard as you like (kill -9) and start it again on the same directory: everything acked is there.\n",
        );
        if stays {
            text.push_str("The node goes on until Ctrl-C.\n");
        }
        text
    }
}

fn promise(durability: &str) -> &'static str {
    match durability {
        "quorum-durable" => "an ack means that the line is on stable storage",
        _ => "an ack means that the line is in memory, and on stable storage soon",
    }
}
