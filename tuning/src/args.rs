//! The flags of `flumen tune`. They say what to do and hold no behaviour.

use crate::probe::Effort;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// `flumen tune …`
#[derive(Args, Clone, Debug)]
pub struct TuneArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TuneCommand,
}

/// The verbs of `flumen tune`.
#[derive(Subcommand, Clone, Debug)]
pub enum TuneCommand {
    /// Read what this machine is, and say what stands in the way of a fast and safe node.
    Check(CheckArgs),
    /// Measure the disk under a directory and loopback, and keep the figures as a profile there.
    Probe(ProbeArgs),
}

/// `flumen tune check`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Changes nothing. Exit codes: 0 nothing fails, 1 a warning and --strict, 3 a failure.

Examples:
  flumen tune check --data /var/lib/flumen
  flumen --json tune check --data /var/lib/flumen > machine.json")]
pub struct CheckArgs {
    /// The data directory: its filesystem and disks are looked at. It need not exist yet.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/flumen")]
    pub data: PathBuf,
    /// End with exit code 1 when there is a warning.
    #[arg(long)]
    pub strict: bool,
    /// Read /proc and /sys below this directory instead of /, to look at a copy of another machine's.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// `flumen tune probe`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Takes about a minute; stop other work on the machine meanwhile. Writes one nameless file, which is gone
afterwards, and DIR/device-profile.toml. An unstable result does not replace a stable one.
Exit codes: 0 measured, 1 unstable and --strict, 74 the disk could not be measured.

Examples:
  flumen tune probe --data /var/lib/flumen
  flumen tune probe --data . --case-ms 50 --no-save")]
pub struct ProbeArgs {
    /// The directory whose disk is measured, and where the profile is kept.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Milliseconds for each case in each round.
    #[arg(long, value_name = "MS", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub case_ms: u64,
    /// Rounds; the figures are medians over them.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// MiB of the file that is written to.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub file_mib: u64,
    /// Print the figures and keep nothing.
    #[arg(long)]
    pub no_save: bool,
    /// End with exit code 1 when the result is unstable.
    #[arg(long)]
    pub strict: bool,
}

impl ProbeArgs {
    /// How much to measure.
    pub(crate) fn effort(&self) -> Effort {
        Effort {
            case: Duration::from_millis(self.case_ms),
            rounds: self.rounds as usize,
            // Whole write groups for each of 16 threads.
            file_bytes: self.file_mib.next_multiple_of(16) << 20,
        }
    }
}
