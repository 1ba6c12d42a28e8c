//! Flags of `flumen produce` and `flumen consume`: records from lines, and lines from records.

use super::values::{Position, partition};
use clap::{Args, ValueEnum};
use flumen_model::PartitionNumber;
use std::path::PathBuf;

/// When a record counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acks {
    /// Never asked: fire and forget.
    None,
    /// When the leader has it on stable storage.
    Leader,
    /// When the topic's own rule holds: a majority has it, on stable storage unless the topic says otherwise.
    Quorum,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordFormat {
    /// The value and a line break.
    Value,
    /// One JSON object a line: partition, offset, timestamp, key, value, headers.
    Json,
}

/// `flumen produce`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each line becomes a record; its line break is not part of it. Ends when every record is acked.

Examples:
  echo hello | flumen produce greetings
  flumen produce orders --file orders.txt --key-separator : --compression zstd")]
pub(crate) struct ProduceArgs {
    /// The topic.
    pub(crate) topic: String,
    /// Read lines from this file instead of standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Write to this partition. Else the key decides, and without a key they take turns.
    #[arg(long, value_name = "P", value_parser = partition)]
    pub(crate) partition: Option<PartitionNumber>,
    /// What stands before its first occurrence in a line is the record's key.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) key_separator: Option<String>,
    /// When a record counts as written.
    #[arg(long, value_enum, default_value_t = Acks::Quorum)]
    pub(crate) acks: Acks,
    /// How batches are compressed.
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub(crate) compression: Compression,
}

/// `flumen consume`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints records as they come, until interrupted. With --subscription it goes on where that subscription stopped and
keeps its position; --from then only says where a new one begins.

Examples:
  flumen consume greetings --from start --to-end
  flumen consume orders --partition 3 --from 1500 --count 10 --format json
  flumen consume orders --from @-1h
  flumen consume orders --subscription billing")]
pub(crate) struct ConsumeArgs {
    /// The topic.
    pub(crate) topic: String,
    /// Only this partition.
    #[arg(long, value_name = "P", value_parser = partition)]
    pub(crate) partition: Option<PartitionNumber>,
    /// Where to begin: start, end, an offset, or @TIME (RFC 3339, milliseconds since 1970, or back from now as in
    /// -5m).
    #[arg(long, value_name = "POSITION", default_value = "end")]
    pub(crate) from: Position,
    /// Stop at the end of each partition as it is now.
    #[arg(long)]
    pub(crate) to_end: bool,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Go on where this named subscription stopped, and keep its position.
    #[arg(long, value_name = "NAME")]
    pub(crate) subscription: Option<String>,
    /// How records are printed.
    #[arg(long, value_enum, default_value_t = RecordFormat::Value)]
    pub(crate) format: RecordFormat,
}
