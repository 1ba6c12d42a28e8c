//! `flumen-fuzz`: replays, fuzzes, and writes the seeds of the corpus. It decides nothing about the targets.
#![forbid(unsafe_code)]
// A tool for people: what it found goes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use clap::Parser;
use flumen_fuzz::run::{Until, fuzz, replay};
use flumen_fuzz::targets::{TARGETS, Target, of_name};
use flumen_fuzz::{corpus, seeds};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Bytes of strangers and damaged files against every parser and every recovery.
#[derive(Parser)]
struct Args {
    /// Shows each target its whole corpus; the default.
    #[arg(long)]
    replay: bool,
    /// Fuzzes for so long, the targets in turn.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Only this target; may be given again.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Where chance begins: the same seed gives the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the seeds of the corpus again.
    #[arg(long)]
    make_corpus: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flumen-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let targets = chosen(&args.target)?;
    if args.make_corpus {
        for (target, name, input) in seeds::all() {
            corpus::save(target, &name, &input)?;
        }
    }
    if args.replay || args.seconds.is_none() {
        for target in &targets {
            println!("{:20} {:>9} inputs replayed", target.name, replay(target)?);
        }
    }
    if let Some(seconds) = args.seconds {
        let each = Duration::from_secs(seconds) / targets.len() as u32;
        for target in targets {
            println!("{:20} {:>9} inputs tried", target.name, fuzz(target, args.seed, Until::Time(each))?);
        }
    }
    Ok(())
}

fn chosen(names: &[String]) -> io::Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let target = |name: &String| {
        of_name(name)
            .ok_or_else(|| io::Error::other(format!("there is no target {name}; there are: {}", known())))
    };
    names.iter().map(target).collect()
}
