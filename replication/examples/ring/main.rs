//! The ring as a command: seeds by the thousand, one after the other, until one fails; then its smallest scenario
//! and its story. Exit code 1 says that something was found, or that some kind of event never happened.
//!
//! ```text
//! cargo run --release -p flumen-replication --example ring -- --seeds 1..20000
//! cargo run --release -p flumen-replication --example ring -- --minutes 10 --seeds 100000..100001
//! cargo run --release -p flumen-replication --example ring -- --seed 42 --mode hot-solo --trace
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command speaks")]
#![allow(clippy::disallowed_methods, reason = "it tells how long it took; no run depends on that")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod report;
#[path = "../../tests/ring/mod.rs"]
mod ring;

use clap::Parser;
use common::notes::{Counts, Kind};
use indicatif::{ProgressBar, ProgressStyle};
use ring::mode::{MODES, Mode};
use ring::run::{Failure, run};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// So many seeds meet every kind of event; fewer may miss one.
const SEEDS_ENOUGH: u64 = 1_000;

/// Runs whole groups of Raft drivers under seeds that break everything.
#[derive(Debug, Parser)]
#[command(name = "ring")]
struct Args {
    /// The seeds, first and last.
    #[arg(long, default_value = "1..1000", value_parser = seeds)]
    seeds: (u64, u64),
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// One mode for all seeds; else they take turns. `list` shows them.
    #[arg(long)]
    mode: Option<String>,
    /// Tells everything that happens.
    #[arg(long)]
    trace: bool,
    /// Goes on with the seeds that follow until so many minutes are over.
    #[arg(long)]
    minutes: Option<f64>,
    /// Goes on after a seed that failed, without shrinking it.
    #[arg(long)]
    keep_going: bool,
    /// Prints the trace of every seed.
    #[arg(long)]
    hashes: bool,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = |_| format!("{text:?} is no range of seeds; write 1..1000");
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (first.parse().map_err(wrong)?, last.trim_start_matches('=').parse().map_err(wrong)?);
    if first > last {
        Err(format!("{text:?} has no seed: the first is behind the last"))
    } else {
        Ok((first, last))
    }
}

fn bar(seeds: u64) -> ProgressBar {
    // indicatif hides the bar itself where standard error is no terminal.
    let style = ProgressStyle::with_template("{msg:24} {wide_bar:.blue} {pos}/{len}  {eta:>4} left");
    ProgressBar::new(seeds).with_style(style.expect("a constant template").progress_chars("━━─"))
}

/// All seeds of a call.
struct Hunt {
    args: Args,
    mode: Option<&'static Mode>,
    counts: Counts,
    seeds: u64,
    events: u64,
    ticks_to_heal: (u64, usize),
    failed: Vec<u64>,
    began: Instant,
}

impl Hunt {
    fn run(&mut self) -> bool {
        let (first, last) = self.args.seed.map_or(self.args.seeds, |seed| (seed, seed));
        let bar = bar(last - first + 1);
        let mut seed = first;
        while self.goes_on(seed, last) {
            let mode = self.mode.unwrap_or_else(|| Mode::of(seed));
            bar.set_message(format!("seed {seed} {}", mode.name));
            let failure = self.one(seed, mode);
            bar.inc(1);
            if let Some(failure) = failure {
                self.failed.push(seed);
                let (promise, why) = (failure.promise(), failure.first_line());
                bar.suspend(|| println!("seed {seed} mode {}: {promise}: {why}", mode.name));
                if !self.args.keep_going {
                    bar.finish_and_clear();
                    report::tell(seed, mode, &failure);
                    break;
                }
            }
            seed += 1;
        }
        bar.finish_and_clear();
        self.summary()
    }

    fn goes_on(&self, seed: u64, last: u64) -> bool {
        match self.args.minutes {
            Some(minutes) => self.began.elapsed() < Duration::from_secs_f64(minutes * 60.0),
            None => seed <= last,
        }
    }

    fn one(&mut self, seed: u64, mode: &'static Mode) -> Option<Failure> {
        self.seeds += 1;
        match run(seed, mode, self.args.trace) {
            Ok(outcome) => {
                self.counts.add(&outcome.counts);
                self.events += outcome.events;
                self.ticks_to_heal.0 += outcome.ticks_to_heal as u64;
                self.ticks_to_heal.1 = self.ticks_to_heal.1.max(outcome.ticks_to_heal);
                outcome.story.iter().for_each(|line| println!("{line}"));
                if self.args.hashes || self.args.seed.is_some() {
                    println!("seed {seed:>6} {:<9} trace {:016x}", mode.name, outcome.trace);
                }
                None
            }
            Err(failure) => {
                self.counts.add(&failure.counts);
                self.events += failure.events;
                failure.story.iter().for_each(|line| println!("{line}"));
                Some(failure)
            }
        }
    }

    fn summary(&self) -> bool {
        let seconds = self.began.elapsed().as_secs_f64();
        report::counts(&self.counts);
        println!(
            "{} seeds, {} events in {seconds:.1} s: {:.0} seeds/min, {:.0} events/s; healed in {} ticks at most, {:.0} in the mean",
            self.seeds,
            self.events,
            self.seeds as f64 / seconds * 60.0,
            self.events as f64 / seconds,
            self.ticks_to_heal.1,
            self.ticks_to_heal.0 as f64 / self.seeds as f64,
        );
        if !self.failed.is_empty() {
            println!("FAILED seeds: {:?}", self.failed);
        }
        let enough = self.seeds >= SEEDS_ENOUGH && self.mode.is_none();
        let idle: Vec<&str> = Kind::ALL
            .iter()
            .filter(|(kind, _)| enough && self.counts.of(*kind) == 0)
            .map(|(_, about)| *about)
            .collect();
        idle.iter().for_each(|about| println!("NEVER HAPPENED: {about}"));
        self.failed.is_empty() && idle.is_empty()
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.mode.as_deref() == Some("list") {
        MODES.iter().for_each(|mode| println!("{:<9} {}", mode.name, mode.about));
        return ExitCode::SUCCESS;
    }
    let mode = args.mode.as_deref().and_then(Mode::named);
    if let (Some(name), None) = (&args.mode, mode) {
        println!("there is no mode {name:?}; `--mode list` shows all");
        return ExitCode::from(2);
    }
    // What fails is caught and told once, at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let mut hunt = Hunt {
        args,
        mode,
        counts: Counts::default(),
        seeds: 0,
        events: 0,
        ticks_to_heal: (0, 0),
        failed: Vec::new(),
        began: Instant::now(),
    };
    if hunt.run() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
