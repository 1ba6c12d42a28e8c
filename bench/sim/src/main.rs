//! `flumen-sim`: seeds by the thousand, one after the other, until one breaks a promise; then its smallest case and
//! its story. Exit code 1 says that something was found, or with `--strict` that a fault never happened.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use clap::Parser;
use flumen_log::ways::ALL as WAYS;
use flumen_sim::plan::{Plan, STEPS};
use flumen_sim::report::{Stats, Story, shrink};
use flumen_sim::run::{Verdict, faults, quiet_panics, run};
use flumen_sim::scenario::{SCENARIOS, Scenario};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Runs whole nodes under seeds that break everything.
#[derive(Debug, Parser)]
#[command(name = "flumen-sim")]
struct Args {
    /// The seeds, first and last.
    #[arg(long, default_value = "1..100", value_parser = seeds)]
    seeds: (u64, u64),
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Steps of all clients together in a seed.
    #[arg(long, default_value_t = STEPS)]
    steps: u64,
    /// One scenario for all seeds; else each seed draws its own. `list` shows them.
    #[arg(long)]
    scenario: Option<String>,
    /// Prints everything that happens, as it happens.
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
    /// Fails when a fault of the scenarios that ran never happened. So does every call of many seeds.
    #[arg(long)]
    strict: bool,
    /// Draws the first seed from the clock, and goes on from there; says which.
    #[arg(long)]
    fresh: bool,
}

/// From so many seeds on a fault that never happened is a mistake of the simulator's, not chance.
const SEEDS_STRICT: u64 = 400;

/// What this process has had of a core so far; none where the machine does not tell.
fn core_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(Duration::from_nanos(told.split_whitespace().next()?.parse().ok()?))
}

/// A first seed that nobody has run.
fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| now.as_secs() * 1_000)
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
struct Campaign {
    args: Args,
    scenario: Option<&'static Scenario>,
    stats: Stats,
    scenarios: Vec<&'static str>,
    failed: Vec<u64>,
    began: Instant,
}

impl Campaign {
    fn run(&mut self) -> bool {
        let (mut first, mut last) = self.args.seed.map_or(self.args.seeds, |seed| (seed, seed));
        if self.args.fresh {
            let seeds = last - first;
            first = fresh_seed();
            last = first + seeds;
            println!("the first seed is {first}");
        }
        let bar = bar(last - first + 1);
        let mut seed = first;
        while self.goes_on(seed, last) {
            let scenario = self.scenario.unwrap_or_else(|| Scenario::drawn(seed));
            bar.set_message(format!("seed {seed} {}", scenario.name));
            let verdict = run(&Plan::of(seed, scenario, self.args.steps), self.story());
            self.take(&verdict, scenario);
            bar.inc(1);
            if let Some(violation) = &verdict.violation {
                bar.suspend(|| println!("seed {seed} scenario {}: {violation}", scenario.name));
                if !self.args.keep_going {
                    bar.finish_and_clear();
                    self.tell(&verdict);
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

    fn story(&self) -> Story {
        if self.args.trace { Story::aloud() } else { Story::silent() }
    }

    fn take(&mut self, verdict: &Verdict, scenario: &'static Scenario) {
        self.stats.add(&verdict.stats);
        if !self.scenarios.contains(&scenario.name) {
            self.scenarios.push(scenario.name);
        }
        if verdict.violation.is_some() {
            self.failed.push(verdict.plan.seed);
        }
        if self.args.hashes {
            println!("seed {:>6} {:<12} trace {:016x}", verdict.plan.seed, scenario.name, verdict.trace);
        }
    }

    fn tell(&self, verdict: &Verdict) {
        let violation = verdict.violation.as_ref().expect("only failures are told");
        println!("\nFAILED  {}\n        {violation}\nshrinking...", verdict.plan);
        let shrunk = shrink(&verdict.plan, violation.promise);
        println!("SHRUNK  {} (in {} runs)", shrunk.verdict.plan, shrunk.tries);
        println!("        clients: {:?}", shrunk.verdict.plan.clients);
        match &shrunk.verdict.violation {
            Some(violation) => println!("        {violation}\n"),
            None => {
                println!("        THE SAME PLAN DID NOT FAIL AGAIN: a run depends on more than its seed\n")
            }
        }
        shrunk.verdict.story.iter().for_each(|line| println!("  {line}"));
        let (seed, name, steps) = (verdict.plan.seed, verdict.plan.scenario, verdict.plan.steps);
        println!(
            "\nagain: cargo run --release -p flumen-sim -- --seed {seed} --scenario {name} --steps {steps} --trace"
        );
    }

    fn summary(&self) -> bool {
        let seconds = self.began.elapsed().as_secs_f64();
        let (seeds, events) = (self.stats.of("seeds"), self.stats.of("events"));
        println!("{}", self.stats);
        println!(
            "{seeds} seeds, {events} events in {seconds:.1} s: {:.0} events/s, {:.2} seeds/s",
            events as f64 / seconds,
            seeds as f64 / seconds
        );
        if let Some(had) = core_time() {
            let had = had.as_secs_f64();
            println!("of one core: {had:.1} s, {:.0} events/s", events as f64 / had);
        }
        let never: Vec<_> =
            WAYS.iter().filter(|way| self.stats.of(&format!("way: {way}")) == 0).copied().collect();
        println!("ways of recovery: {} of {} taken; never: {never:?}", WAYS.len() - never.len(), WAYS.len());
        let idle = self.idle_faults();
        idle.iter().for_each(|line| println!("{line}"));
        if !self.failed.is_empty() {
            println!("FAILED seeds: {:?}", self.failed);
        }
        let is_strict = self.args.strict || seeds >= SEEDS_STRICT;
        self.failed.is_empty() && (idle.is_empty() || !is_strict)
    }

    /// Faults of the scenarios that were run and that never happened.
    fn idle_faults(&self) -> Vec<String> {
        let mut idle = Vec::new();
        let ran = SCENARIOS.iter().filter(|scenario| self.scenarios.contains(&scenario.name));
        let faults: std::collections::BTreeSet<_> = ran.flat_map(|scenario| scenario.faults).collect();
        for (fault, names) in faults::FIRES.iter().filter(|(fault, _)| faults.contains(fault)) {
            for name in names.iter().filter(|name| self.stats.of(&format!("fault: {name}")) == 0) {
                idle.push(format!("fault {fault}: {name} never happened"));
            }
        }
        idle
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.scenario.as_deref() == Some("list") {
        SCENARIOS.iter().for_each(|scenario| println!("{:<12} {}", scenario.name, scenario.about));
        return ExitCode::SUCCESS;
    }
    let scenario = match args.scenario.as_deref().map(str::parse).transpose() {
        Ok(scenario) => scenario,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    };
    quiet_panics();
    let (stats, scenarios, failed) = (Stats::default(), Vec::new(), Vec::new());
    let mut campaign = Campaign { args, scenario, stats, scenarios, failed, began: Instant::now() };
    if campaign.run() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
