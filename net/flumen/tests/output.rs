//! `OUTPUT.md` is what `--json` prints: every verb has exactly the keys that stand there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{FLUMEN, Node, said};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const DOCUMENT: &str = include_str!("../OUTPUT.md");

/// The keys of each verb, those of lists within behind them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut verbs = BTreeMap::new();
    for row in DOCUMENT.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').collect();
        let keys: BTreeSet<String> = quoted(cells[2]).collect();
        quoted(cells[1]).for_each(|verb| drop(verbs.insert(verb, keys.clone())));
    }
    verbs
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// All keys of a value, at any depth.
fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(object) => {
            let below = object.values().flat_map(keys);
            object.keys().cloned().chain(below).collect()
        }
        Value::Array(all) => all.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn every_verb_prints_exactly_the_keys_that_are_documented() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(&directory.path().join("data"));
    let mut printed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut see = |verb: &str, value: &Value| drop(printed.insert(verb.to_owned(), keys(value)));
    for (verb, more) in [
        ("topic create", &["orders", "--partitions", "2"][..]),
        ("topic list", &[]),
        ("topic describe", &["orders"]),
        ("topic alter", &["orders", "--set", "retention.ms=-1"]),
        ("subscription reset", &["billing", "--to", "start", "--topic", "orders"]),
        ("subscription list", &[]),
        ("subscription describe", &["billing"]),
        ("topic trim", &["orders", "--partition", "0", "--before", "0"]),
        ("subscription delete", &["billing"]),
    ] {
        let args: Vec<&str> = verb.split(' ').chain(more.iter().copied()).collect();
        see(verb, &node.json(&args));
    }
    let written = node.feed(&["--json", "produce", "orders"], b"x\n");
    see("produce", &serde_json::from_slice(&written.stdout).unwrap());
    let mut status = node.json(&["status"]);
    status["shards"] = Value::Null;
    see("status", &status);
    node.ok(&["topic", "create", "kept"]);
    see("topic delete", &node.json(&["topic", "delete", "orders"]));
    let data = node.data.clone();
    node.terminate();
    let check = Command::new(FLUMEN).args(["--json", "check"]).arg(data).output().unwrap();
    let mut found: Value =
        serde_json::from_slice(&check.stdout).unwrap_or_else(|_| panic!("{}", said(&check)));
    // What a whole directory has none of: verbs.rs looks at that of a damaged one.
    let place = serde_json::json!({"file": "", "position": 0, "what": "", "topic": "", "partition": 0});
    found["damage"] = Value::Array(vec![place]);
    found["partitions"][0]["lost"] = serde_json::json!([{"from": 0, "to": 1}]);
    see("check", &found);

    let documented = documented();
    for (verb, keys) in &printed {
        assert_eq!(documented.get(verb), Some(keys), "{verb}");
    }
    let unseen: Vec<&String> = documented.keys().filter(|verb| !printed.contains_key(*verb)).collect();
    assert_eq!(unseen, ["config", "quickstart", "repair"], "tested elsewhere");
}
