//! A hunt from outside: a process of its own runs the seeds, since a build with a mistake in it may hang or die. What it
//! finds counts only when the same seed finds nothing without the mistake.

use super::hunt::Found;
use super::patch::{Planted, Run};
use super::scratch::Scratch;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A seed that takes longer than this hangs.
const SEED_WITHIN: Duration = Duration::from_secs(300);

/// What came of a fault.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The fault.
    pub fault: Planted,
    /// What was found, and after how many seeds.
    pub found: Option<(u64, Found)>,
    /// Seeds that fail without the fault too, and so say nothing.
    pub void: Vec<u64>,
    /// Seeds that were run.
    pub seeds: u64,
    /// What building took, and the seeds.
    pub took: (Duration, Duration),
    /// Why there is no answer.
    pub error: Option<String>,
}

/// Finds faults, one after the other.
pub struct Chase<'a> {
    scratch: &'a Scratch,
    seeds_max: u64,
    steps: u64,
    /// The hunters without a fault, by the simulator's name.
    bases: RefCell<BTreeMap<&'static str, PathBuf>>,
}

impl<'a> Chase<'a> {
    /// Hunts in a copy of the sources, with so many seeds at most for each fault.
    pub fn new(scratch: &'a Scratch, seeds_max: u64, steps: u64) -> Chase<'a> {
        Chase { scratch, seeds_max, steps, bases: RefCell::default() }
    }

    /// Builds what faults of a simulator are compared with.
    ///
    /// # Errors
    /// The sources do not build.
    pub fn base(&self, run: Run) -> Result<PathBuf, String> {
        if let Some(base) = self.bases.borrow().get(run.name()) {
            return Ok(base.clone());
        }
        self.scratch.plant(&[])?;
        let base = self.scratch.build(run, "base")?;
        self.bases.borrow_mut().insert(run.name(), base.clone());
        Ok(base)
    }

    /// Plants one fault and runs seeds until it is found, telling how far it is.
    pub fn run(&self, fault: &Planted, progress: &dyn Fn(u64)) -> Outcome {
        let began = Instant::now();
        let nothing = (Duration::ZERO, Duration::ZERO);
        let mut outcome = Outcome {
            fault: fault.clone(),
            found: None,
            void: Vec::new(),
            seeds: 0,
            took: nothing,
            error: None,
        };
        let built = self.base(fault.run).and_then(|base| {
            self.scratch.plant(&[fault])?;
            Ok((base, self.scratch.build(fault.run, "planted")?))
        });
        outcome.took.0 = began.elapsed();
        let hunted = built.and_then(|(base, hunter)| self.hunt(&base, &hunter, &mut outcome, progress));
        outcome.error = hunted.err();
        outcome.took.1 = began.elapsed() - outcome.took.0;
        outcome
    }

    fn hunt(
        &self,
        base: &Path,
        hunter: &Path,
        outcome: &mut Outcome,
        progress: &dyn Fn(u64),
    ) -> Result<(), String> {
        let mut first = 1;
        while first <= self.seeds_max {
            let seeds = (first, self.seeds_max);
            let Some((seed, found)) = self.watch(hunter, &outcome.fault, seeds, progress)? else {
                outcome.seeds = self.seeds_max;
                return Ok(());
            };
            outcome.seeds = seed;
            if self.watch(base, &outcome.fault, (seed, seed), &|_| {})?.is_none() {
                outcome.found = Some((seed, found));
                return Ok(());
            }
            outcome.void.push(seed);
            first = seed + 1;
        }
        Ok(())
    }

    /// Runs a hunter until it finds something; none when all its seeds are over.
    fn watch(
        &self,
        hunter: &Path,
        fault: &Planted,
        seeds: (u64, u64),
        progress: &dyn Fn(u64),
    ) -> Result<Option<(u64, Found)>, String> {
        let mut command = self.command(hunter, fault, seeds);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{}: {error}", hunter.display()))?;
        let mut hunter = Hunter(child);
        let lines = lines_of(&mut hunter);
        let mut seed = seeds.0;
        loop {
            let line = match lines.recv_timeout(SEED_WITHIN) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(Some((seed, odd("Hangs", "a seed does not end"))));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Some((seed, odd("Dies", "the process died"))));
                }
            };
            match Said::of(&line, fault.run) {
                Some(Said::Over) => return Ok(None),
                Some(Said::Seed(done)) => {
                    progress(done);
                    seed = done + 1;
                    if done == seeds.1 {
                        return Ok(None);
                    }
                }
                Some(Said::Found(seed, found)) => return Ok(Some((seed, found))),
                None => {}
            }
        }
    }

    fn command(&self, hunter: &Path, fault: &Planted, seeds: (u64, u64)) -> Command {
        let mut command = Command::new(hunter);
        command.args(["--seeds", &format!("{}..{}", seeds.0, seeds.1)]);
        match fault.run {
            Run::Sim => {
                command.args(["--hunt", "--steps", &self.steps.to_string()]);
                command.args(fault.scenarios.iter().flat_map(|scenario| ["--scenario", scenario]));
            }
            Run::Ring => {
                command.args(["--keep-going", "--hashes"]);
                command.args(fault.scenarios.iter().take(1).flat_map(|mode| ["--mode", mode]));
            }
        }
        command
    }
}

/// One thing that a hunter says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Seed(u64),
    Found(u64, Found),
    Over,
}

impl Said {
    fn of(line: &str, run: Run) -> Option<Said> {
        match run {
            Run::Sim => Said::of_sim(line),
            Run::Ring => Said::of_ring(line),
        }
    }

    fn of_sim(line: &str) -> Option<Said> {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["seed", number] => Some(Said::Seed(number.parse().ok()?)),
            ["over"] => Some(Said::Over),
            ["found", number, scenario, promise, what] => {
                let found = Found { scenario: scenario.into(), promise: promise.into(), what: what.into() };
                Some(Said::Found(number.parse().ok()?, found))
            }
            _ => None,
        }
    }

    /// The ring's own lines: `seed 7 mode calm: why` and, of a seed that holds, `seed 7 calm trace 0123`.
    fn of_ring(line: &str) -> Option<Said> {
        let mut words = line.split_whitespace();
        let seed = words.next().filter(|word| *word == "seed").and_then(|_| words.next()?.parse().ok())?;
        if let Some((head, what)) = line.split_once(": ")
            && words.next() == Some("mode")
        {
            let mode = head.rsplit(' ').next().unwrap_or_default();
            let found = Found { scenario: mode.into(), promise: String::new(), what: what.into() };
            return Some(Said::Found(seed, found));
        }
        line.contains(" trace ").then_some(Said::Seed(seed))
    }
}

/// A process that ends with its holder.
struct Hunter(Child);

impl Drop for Hunter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What shows from outside alone.
fn odd(promise: &str, what: &str) -> Found {
    Found { scenario: "-".into(), promise: promise.into(), what: what.into() }
}

#[allow(clippy::disallowed_methods)] // The pipe of a real process; nothing simulated waits for it.
fn lines_of(hunter: &mut Hunter) -> Receiver<String> {
    let (sender, receiver) = channel();
    let stdout = hunter.0.stdout.take().expect("it was asked for");
    drop(std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    }));
    receiver
}

/// One thing that a hunter says, as a line.
pub fn line_of(seed: u64, found: Option<&Found>) -> String {
    match found {
        None => format!("seed\t{seed}"),
        Some(Found { scenario, promise, what }) => {
            let what: String = what.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("found\t{seed}\t{scenario}\t{promise}\t{what}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(scenario: &str, promise: &str, what: &str) -> Found {
        Found { scenario: scenario.into(), promise: promise.into(), what: what.into() }
    }

    #[test]
    fn what_a_hunter_says_is_understood() {
        let one = found("power", "Order", "one is before two");
        assert_eq!(Said::of_sim(&line_of(7, Some(&one))), Some(Said::Found(7, one)));
        assert_eq!(Said::of_sim(&line_of(7, None)), Some(Said::Seed(7)));
        assert_eq!(Said::of_sim("over"), Some(Said::Over));
    }

    #[test]
    fn what_the_ring_says_is_understood() {
        let one = found("hot-solo", "", "two leaders: 1 and 2");
        assert_eq!(Said::of_ring("seed 7 mode hot-solo: two leaders: 1 and 2"), Some(Said::Found(7, one)));
        assert_eq!(Said::of_ring("seed      7 calm      trace 00ff"), Some(Said::Seed(7)));
        assert_eq!(Said::of_ring("  messages lost   12"), None);
    }
}
