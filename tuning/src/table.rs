//! A [`Report`] as text for a terminal: one line a finding, and for what is not as wanted a second and third
//! with the reason and what to do. Colour is the caller's wish, since only he knows where it goes.

use crate::item::{Item, Report, Verdict};
use std::fmt::Write as _;

/// Columns wider than this are not padded further; a long value then pushes the rest of its own line only.
const COLUMN_MAX: usize = 44;

/// The report as text.
pub fn render(report: &Report, colour: bool) -> String {
    let mut out = String::new();
    let devices = if report.devices.is_empty() { "no disk".to_owned() } else { report.devices.join(", ") };
    let _ = writeln!(out, "{} on {devices}\n", report.data);
    let width = |text: fn(&Item) -> &str| {
        report.items.iter().map(|item| text(item).chars().count()).max().unwrap_or(0).min(COLUMN_MAX)
    };
    let (ids, nows) = (width(|item| &item.id), width(|item| &item.now));
    for item in &report.items {
        let verdict = paint(item.verdict, colour);
        let line = format!("{verdict}  {:ids$}  {:nows$}  want: {}", item.id, item.now, item.wanted);
        let _ = writeln!(out, "{}", line.trim_end());
        if matches!(item.verdict, Verdict::Warn | Verdict::Fail | Verdict::Unknown) {
            let _ = writeln!(out, "           why: {}", item.why);
        }
        if !item.remedy.is_empty() {
            let _ = writeln!(out, "           do:  {}", item.remedy);
        }
    }
    let _ = writeln!(out, "\n{}", summary(report));
    out
}

fn summary(report: &Report) -> String {
    let counts = Verdict::ALL.iter().map(|&verdict| (report.count(verdict), verdict.name()));
    let words: Vec<String> = counts.filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
    words.join(", ")
}

/// The verdict's word, seven characters wide.
fn paint(verdict: Verdict, colour: bool) -> String {
    let word = format!("{:7}", verdict.name());
    let code = match verdict {
        Verdict::Ok => 32,
        Verdict::Warn => 33,
        Verdict::Fail => 31,
        Verdict::Absent | Verdict::Unknown | Verdict::Managed => 36,
    };
    if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word }
}
