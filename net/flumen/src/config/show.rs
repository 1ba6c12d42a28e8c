//! The table of keys for people and programs: the values that hold, and the sample file. Both are TOML that reads
//! back to the same values.

use super::keys::{Key, keys};
use super::{Config, Loaded, Source};
use serde::Serialize;
use std::fmt::Write as _;

/// Lines of the sample are no longer than this.
const COLUMNS: usize = 100;

/// What `flumen config` prints: a TOML file with every key, and behind each value where it comes from and what it
/// means.
pub(crate) fn effective_text(loaded: &Loaded) -> String {
    let keys = keys();
    let rows: Vec<(String, String, &Key)> = keys
        .iter()
        .map(|key| {
            let value = format!("{} = {}", key.name, key.literal(&loaded.config));
            (value, source_name(&loaded.source(&key.path())), key)
        })
        .collect();
    let values = rows.iter().map(|(value, ..)| value.chars().count()).max().unwrap_or(0);
    let sources = rows.iter().map(|(_, source, _)| source.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    let mut table = "";
    for (value, source, key) in rows {
        if key.table != table {
            table = key.table;
            let _ = writeln!(out, "\n[{table}]");
        }
        let _ = writeln!(out, "{value:values$}  # {source:sources$}  {}", key.meaning);
    }
    out
}

fn source_name(source: &Source) -> String {
    match source {
        Source::Default => "default".to_owned(),
        Source::File(line) => format!("line {line}"),
        Source::Flag(flag) => flag.clone(),
    }
}

/// One key of `flumen --json config`.
#[derive(Serialize)]
struct Row<'a> {
    key: String,
    value: serde_json::Value,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<String>,
    #[serde(rename = "type")]
    kind: &'a str,
    default: serde_json::Value,
    meaning: &'a str,
}

/// What `flumen --json config` prints: a list of keys with value, source, kind, default and meaning.
pub(crate) fn effective_json(loaded: &Loaded) -> String {
    let defaults = Config::default();
    let keys = keys();
    let rows: Vec<Row<'_>> = keys
        .iter()
        .map(|key| {
            let source = loaded.source(&key.path());
            Row {
                key: key.path(),
                value: json(&key.literal(&loaded.config)),
                source: match source {
                    Source::Default => "default",
                    Source::File(_) => "file",
                    Source::Flag(_) => "flag",
                },
                line: if let Source::File(line) = source { Some(line) } else { None },
                flag: if let Source::Flag(flag) = source { Some(flag) } else { None },
                kind: key.kind,
                default: json(&key.literal(&defaults)),
                meaning: key.meaning,
            }
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&rows).expect("plain values become JSON");
    text.push('\n');
    text
}

/// A TOML literal as JSON.
fn json(literal: &str) -> serde_json::Value {
    let parsed: Result<toml::Table, _> = toml::from_str(&format!("value = {literal}"));
    let value = parsed.ok().and_then(|table| serde_json::to_value(&table["value"]).ok());
    value.unwrap_or_else(|| literal.into())
}

/// The sample file: every key with its meaning, and its default behind a `#` without a space, ready to be taken
/// away.
pub(crate) fn sample() -> String {
    let defaults = Config::default();
    let mut out = String::from(
        "# The configuration of a Flumen node. Every key is here, switched off, with its default; take the # away\n\
         # to change one. Flags of `flumen start` stand above this file. Sizes take B, KiB, MiB, GiB, TiB; durations\n\
         # take ms, s, m, h, d, w. `flumen config --config FILE` prints what holds, where it comes from, and why.\n",
    );
    let mut table = "";
    for key in keys() {
        if key.table != table {
            table = key.table;
            let about = match table {
                "topic" => "Defaults for topics that do not set it themselves (`flumen topic create --set`).",
                _ => "Limits of this node. The defaults fit a machine that does nothing else.",
            };
            let _ = write!(out, "\n# {about}\n[{table}]\n");
        }
        out.push('\n');
        for line in wrapped(key.meaning, COLUMNS - 2) {
            let _ = writeln!(out, "# {line}");
        }
        let _ = writeln!(out, "# Type: {}.", key.kind);
        let _ = writeln!(out, "#{} = {}", key.name, key.literal(&defaults));
    }
    out
}

/// Words in lines of at most `columns`.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
