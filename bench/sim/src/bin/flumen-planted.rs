//! `flumen-planted`: puts one planted fault after the other into a copy of the sources and runs seeds until the
//! simulator finds it. Exit code 1 says that one was not found, or does not fit or compile any more.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use clap::Parser;
use flumen_sim::plan::STEPS;
use flumen_sim::planted::chase::{Chase, Outcome, line_of};
use flumen_sim::planted::hunt::Hunt;
use flumen_sim::planted::patch::{self, Planted};
use flumen_sim::planted::scratch::Scratch;
use flumen_sim::planted::table;
use flumen_sim::run::quiet_panics;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Faults of one turn.
const A_TURN: usize = 3;

/// Shows that the simulator finds the mistakes it is there for.
#[derive(Debug, Parser)]
#[command(name = "flumen-planted")]
struct Args {
    /// These faults alone, by the beginnings of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seeds for each fault, at most.
    #[arg(long, default_value_t = 1000)]
    seeds_max: u64,
    /// Steps of a seed.
    #[arg(long, default_value_t = STEPS)]
    steps: u64,
    /// Only whether all still fit and compile.
    #[arg(long)]
    check: bool,
    /// Three faults by turns: the day of the year, say, or the number of a commit.
    #[arg(long)]
    turn: Option<u64>,
    /// The table as Markdown at the end.
    #[arg(long)]
    markdown: bool,
    /// Where the copy of the sources and its builds go.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Runs seeds in this build, for the process that planted something in it.
    #[arg(long, hide = true)]
    hunt: bool,
    #[arg(long, hide = true, requires = "hunt")]
    seeds: Option<String>,
    #[arg(long, hide = true, requires = "hunt")]
    scenario: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.hunt {
        true => hunt(&args),
        false => faults(&args)
            .and_then(|faults| if args.check { check(&args, &faults) } else { find(&args, &faults) }),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn hunt(args: &Args) -> Result<bool, String> {
    let seeds = args.seeds.as_deref().and_then(|seeds| seeds.split_once(".."));
    let seeds = seeds.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let hunt = Hunt {
        scenarios: args.scenario.clone(),
        seeds: seeds.ok_or("--hunt needs --seeds FIRST..LAST")?,
        steps: args.steps,
    };
    quiet_panics();
    let mut clean = true;
    hunt.go(|seed, found| {
        println!("{}", line_of(seed, found.as_ref()));
        clean = found.is_none();
        clean
    })?;
    if clean {
        println!("over");
    }
    Ok(clean)
}

/// The root of the sources that this was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The faults that were asked for.
fn faults(args: &Args) -> Result<Vec<Planted>, String> {
    let all = patch::all(&root().join("bench/sim/planted"))?;
    let named = |fault: &Planted| args.only.iter().any(|name| fault.name.starts_with(name.as_str()));
    let mut faults: Vec<Planted> =
        all.into_iter().filter(|fault| args.only.is_empty() || named(fault)).collect();
    if faults.is_empty() {
        return Err(format!("there is no planted fault {}", args.only.join(", ")));
    }
    if let Some(turn) = args.turn {
        let first = (turn as usize).wrapping_mul(A_TURN) % faults.len();
        faults.rotate_left(first);
        faults.truncate(A_TURN);
    }
    Ok(faults)
}

fn scratch(args: &Args) -> Result<Scratch, String> {
    // Beside the builds of the sources, so that the next call finds its own.
    let beside = || {
        let binary = std::env::current_exe().ok()?;
        Some(binary.ancestors().nth(2)?.join("planted-faults"))
    };
    let folder = args.scratch.clone().or_else(beside).ok_or("say with --scratch where to build")?;
    Scratch::new(&root(), &folder)
}

/// Many faults are type-checked at once where they fit beside each other; one by one only to say which it is.
fn check(args: &Args, faults: &[Planted]) -> Result<bool, String> {
    let scratch = scratch(args)?;
    let bar = bar(faults.len() as u64, "faults");
    let (groups, mut wrong) = scratch.groups(faults);
    for group in groups {
        bar.set_message(group[0].name.clone());
        if scratch.plant(&group).and_then(|()| scratch.check()).is_err() {
            let alone = |fault: &&Planted| scratch.plant(&[fault]).and_then(|()| scratch.check());
            let named = |fault: &&Planted| alone(fault).err().map(|error| format!("{}: {error}", fault.name));
            wrong.extend(group.iter().filter_map(named));
        }
        bar.inc(group.len() as u64);
    }
    bar.finish_and_clear();
    scratch.plant(&[])?;
    wrong.iter().for_each(|why| println!("{why}"));
    println!("{} planted faults, {} of them do not fit or compile", faults.len(), wrong.len());
    Ok(wrong.is_empty())
}

fn find(args: &Args, faults: &[Planted]) -> Result<bool, String> {
    let scratch = scratch(args)?;
    let waiting = bar(0, "");
    waiting.set_message("the sources without a fault are built");
    let chase = Chase::new(&scratch, args.seeds_max, args.steps);
    chase.base(faults[0].run)?;
    waiting.finish_and_clear();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (at, fault) in faults.iter().enumerate() {
        let bar = bar(args.seeds_max, "seeds");
        bar.set_message(format!("{}/{} {}", at + 1, faults.len(), fault.name));
        outcomes.push(chase.run(fault, &|seed| bar.set_position(seed)));
        bar.finish_and_clear();
        println!("{}", table::line(&outcomes[at]));
    }
    scratch.plant(&[])?;
    if args.markdown {
        println!("\n{}", table::markdown(&outcomes));
    }
    let found = outcomes.iter().filter(|outcome| outcome.found.is_some()).count();
    println!("{found} of {} planted faults found", outcomes.len());
    Ok(found == outcomes.len())
}

fn bar(steps: u64, what: &str) -> ProgressBar {
    // indicatif hides the bar itself where standard error is no terminal.
    let template = format!("{{msg:40}} {{wide_bar:.blue}} {{pos}}/{{len}} {what} {{elapsed:>5}}");
    let style = ProgressStyle::with_template(&template).expect("a constant template").progress_chars("━━─");
    ProgressBar::new(steps).with_style(style)
}
