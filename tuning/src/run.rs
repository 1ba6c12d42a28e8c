//! The verbs of `flumen tune` from flags to output and exit code.

use crate::args::{CheckArgs, ProbeArgs, TuneArgs, TuneCommand};
use crate::check::{Space, check};
use crate::probe::probe;
use crate::profile::{Profile, save_profile};
use crate::root::Root;
use crate::table;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// sysexits' EX_IOERR: the disk could not be measured.
const EXIT_IO: u8 = 74;

/// Runs `flumen tune` and says with which code to exit. With `json`, standard output is one JSON document.
pub fn run(args: &TuneArgs, json: bool) -> u8 {
    match &args.command {
        TuneCommand::Check(args) => run_check(args, json),
        TuneCommand::Probe(args) => run_probe(args, json),
    }
}

fn run_check(args: &CheckArgs, json: bool) -> u8 {
    let root = Root::at(&args.root);
    let space = root.is_system().then(|| Space::of(&root.nearest_existing(&args.data)).ok()).flatten();
    let report = check(&root, &args.data, space);
    print(&if json { pretty(&report) } else { table::render(&report, io::stdout().is_terminal()) });
    report.exit_code(args.strict)
}

fn run_probe(args: &ProbeArgs, json: bool) -> u8 {
    let effort = args.effort();
    let bar = ProgressBar::with_draw_target(Some(effort.steps()), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    let result = probe(&args.data, effort, &mut |done| {
        bar.set_message(done.to_owned());
        bar.inc(1);
    });
    bar.finish_and_clear();
    let profile = match result {
        Ok(profile) => profile,
        Err(error) => return complain(&error),
    };
    print(&if json { pretty(&profile) } else { figures(&profile) });
    if !args.no_save {
        match save_profile(&args.data, &profile) {
            Ok(path) if !json => print(&format!("saved as {}\n", path.display())),
            Ok(_) => {}
            Err(error) => return complain(&error),
        }
    }
    u8::from(args.strict && !profile.quality.is_stable())
}

/// The figures as text for a person.
fn figures(profile: &Profile) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "durable write, us   depth        p50        p90        p99      p99.9        max   writes/s  spread"
    );
    for result in &profile.write {
        let m = &result.latency.median;
        let _ = writeln!(
            out,
            "{:>5} KiB {:8} {:>5} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>6.0} %",
            result.bytes / 1024,
            result.method.name(),
            result.depth,
            m.p50,
            m.p90,
            m.p99,
            m.p99_9,
            m.max,
            m.per_second,
            result.latency.spread * 100.0
        );
    }
    let trip = &profile.loopback.round_trip;
    let _ = writeln!(
        out,
        "loopback, 64 bytes {:>5} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>6.0} %\n",
        1,
        trip.median.p50,
        trip.median.p90,
        trip.median.p99,
        trip.median.p99_9,
        trip.median.max,
        trip.median.per_second,
        trip.spread * 100.0
    );
    for (name, bandwidth) in [
        ("sequential write", &profile.sequential_write),
        ("sequential read", &profile.sequential_read),
        ("loopback", &profile.loopback.bandwidth),
    ] {
        let _ = writeln!(
            out,
            "{name:17} {:>7.0} MiB/s, spread {:.0} %",
            bandwidth.mib_per_second,
            bandwidth.spread * 100.0
        );
    }
    let _ = writeln!(out, "\nquality: {}: {}", profile.quality.name(), profile.quality_reason);
    let _ =
        writeln!(out, "durable_write = {}: {}", profile.durable_write().name(), profile.durable_write_reason);
    out
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain values become JSON");
    text.push('\n');
    text
}

/// A reader that went away (`| head`) is no error.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn complain(error: &io::Error) -> u8 {
    let _ = writeln!(io::stderr().lock(), "error: {error}");
    EXIT_IO
}
