//! The run on a terminal: aligned columns, plain text. It must never wrap a row.

use super::document::Document;
use super::units;
use std::fmt::Write;

/// Everything that a reader at a terminal needs of a run.
pub fn text(document: &Document) -> String {
    let mut text = String::new();
    let rounds = units::plural(document.rounds as u64, "round");
    let head = [&document.bench, &document.host, &document.durability, &rounds, &document.started];
    let _ = writeln!(text, "\nflumen bench {}", head.map(String::as_str).join("  ·  "));
    let machine = &document.machine;
    let _ = writeln!(
        text,
        "{}  ·  {} CPUs of {}  ·  {}",
        machine.kernel, machine.cpus, machine.cpu, machine.disk
    );
    let configuration = document.configuration.iter().map(|(name, value)| format!("{name} {value}"));
    let _ = writeln!(text, "{}\n", configuration.collect::<Vec<_>>().join("  ·  "));
    text.push_str(&align(&figures(document)));
    let ratio = &document.ratio;
    if ratio.floor_p50 > 0.0 {
        let [p50, p99, p999] = [ratio.floor_p50, ratio.floor_p99, ratio.floor_p999].map(units::multiple);
        let _ = write!(text, "\n{} ÷ floor: p50 {p50}, p99 {p99}, p99.9 {p999}", document.result_part);
        let [p50, p99] = [ratio.host_floor_p50, ratio.host_floor_p99].map(units::multiple);
        let _ = writeln!(text, "  ·  ÷ host floor: p50 {p50}, p99 {p99}");
    }
    if let Some(journal) = document.journal {
        let spread = units::bytes(journal.bytes_spread as f64);
        let _ = write!(text, "\njournal: {} turns, {spread} spread", units::digits(journal.turns));
        let _ = writeln!(text, ", {}", units::plural(journal.checkpoints, "checkpoint"));
    }
    if !document.claims.is_empty() {
        let _ = write!(text, "\n{}", align(&claims(document)));
    }
    if !document.stalls.is_empty() {
        let _ = write!(text, "\n{}", align(&stalls(document)));
    }
    for profile in &document.profiles {
        let _ = writeln!(text, "\nwhere the time goes in {}:\n{}", profile.part, profile.text);
    }
    for note in &document.notes {
        let _ = writeln!(text, "\nnote: {note}");
    }
    text
}

fn figures(document: &Document) -> Vec<Vec<String>> {
    let head = ["part", "p50", "p99", "p99.9", "p99.99", "max", "records/s", "bytes/s", "others' CPU"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for part in &document.parts {
        let f = &part.figures;
        let mut row = vec![part.name.clone()];
        row.extend([f.p50_us, f.p99_us, f.p999_us, f.p9999_us, f.max_us].map(units::latency));
        row.push(units::rate(f.records_per_s));
        row.push(units::bytes(f.bytes_per_s));
        row.push(units::share(part.account.other_share()));
        rows.push(row);
    }
    rows
}

fn claims(document: &Document) -> Vec<Vec<String>> {
    let mut rows = vec![["claim", "limit", "median", "spread", "verdict"].map(str::to_owned).to_vec()];
    for claim in &document.claims {
        let spread = claim.measured;
        rows.push(vec![
            claim.name.clone(),
            units::limit(claim),
            units::value(spread.median),
            format!("{} – {}", units::value(spread.min), units::value(spread.max)),
            claim.verdict.text().to_owned(),
        ]);
    }
    rows
}

fn stalls(document: &Document) -> Vec<Vec<String>> {
    let mut rows = vec![["stall at", "length", "beside it"].map(str::to_owned).to_vec()];
    for stall in &document.stalls {
        let latency = units::latency(stall.latency.as_secs_f64() * 1e6);
        rows.push(vec![format!("{:.1} s", stall.due.as_secs_f64()), latency, stall.cause.clone()]);
    }
    rows
}

/// Rows with the first column to the left and the others to the right, a rule under the head.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let gap = " ".repeat(widths[column] - cell.chars().count());
            let _ = match column {
                0 => write!(text, "{cell}{gap}"),
                _ => write!(text, "  {gap}{cell}"),
            };
        }
        text.push('\n');
        if at == 0 {
            let _ = writeln!(text, "{}", "─".repeat(widths.iter().sum::<usize>() + 2 * (columns - 1)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::example;

    #[test]
    fn every_row_of_a_table_is_as_wide_as_its_rule() {
        let table = align(&figures(&example()));
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
        assert_eq!(widths.len(), 2 + 4);
    }

    #[test]
    fn the_terminal_tells_result_ratios_and_verdicts() {
        let text = text(&example());
        for word in ["host_floor ÷ floor: p50 1.50", "missed", "too few rounds", "9 rounds", "glommio"] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }
}
