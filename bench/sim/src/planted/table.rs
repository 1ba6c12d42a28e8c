//! The table of faults: which was found by what, after how many seeds. Pure.

use super::chase::Outcome;

/// What is said of a finding, at most.
const WHAT_CHARS_MAX: usize = 110;

/// The table as Markdown.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let mut out =
        String::from("| fault | mistake | run | seeds | what fired | time |\n|---|---|---|--:|---|--:|\n");
    for outcome in outcomes {
        let Outcome { fault, seeds, .. } = outcome;
        out += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            fault.name,
            fault.mistake,
            whence(outcome),
            if outcome.found.is_some() { seeds.to_string() } else { format!("not in {seeds}") },
            fired(outcome).replace('|', "/"),
            time(outcome)
        );
    }
    out
}

/// One fault, for a person at a terminal.
pub fn line(outcome: &Outcome) -> String {
    let Outcome { fault, seeds, .. } = outcome;
    let verdict = if outcome.found.is_some() { "found" } else { "NOT FOUND" };
    let void = match outcome.void.len() {
        0 => String::new(),
        void => format!(" ({void} seeds fail without it: {:?})", &outcome.void[..void.min(5)]),
    };
    let (name, time) = (&fault.name, time(outcome));
    format!(
        "{name:<34} {verdict:<9} {seeds:>5} seeds {time:>7}  {:<18} {}{void}",
        whence(outcome),
        fired(outcome)
    )
}

/// One word on a fault: what was found of it, and whether that is what its head says.
fn fired(outcome: &Outcome) -> String {
    match (&outcome.found, &outcome.error) {
        (Some((_, found)), _) => {
            let what: String = found.what.chars().take(WHAT_CHARS_MAX).collect();
            let is_named = found.promise.is_empty() || outcome.fault.promises.contains(&found.promise);
            let other = if is_named { "" } else { " (another promise than its head says)" };
            let colon = if found.promise.is_empty() { "" } else { ": " };
            format!("{}{colon}{what}{other}", found.promise)
        }
        (None, Some(error)) => error.clone(),
        (None, None) => "nothing".to_string(),
    }
}

fn whence(outcome: &Outcome) -> String {
    match (&outcome.found, outcome.fault.run.name()) {
        (Some((_, found)), run) => format!("{run} {}", found.scenario),
        (None, run) => run.to_string(),
    }
}

fn time(outcome: &Outcome) -> String {
    format!("{:.0} s", outcome.took.1.as_secs_f64().max(1.0))
}
