//! `flumen quickstart` on a small file: every line comes back, and what it leaves behind is a directory like any other.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{FLUMEN, Node, said};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file of 30 lines, some of them odd.
fn log(directory: &Path) -> PathBuf {
    let path = directory.join("some.log");
    let text: String = (0..28).map(|number| format!("2026-03-01 event {number} naïve\r\n")).collect();
    std::fs::write(&path, text + "\n\tlast").unwrap();
    path
}

fn quickstart(directory: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(FLUMEN);
    command.args(["quickstart", "--lines", "600"]).args(more).current_dir(directory).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn every_line_comes_back_to_three_subscribers_and_the_data_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = log(directory.path());
    let output = quickstart(directory.path(), &[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for wanted in [
        "some.log: 30 lines",
        "600 lines, all acked",
        "quorum-durable",
        "every subscriber got all 600 lines",
        "joined late",
        "flumen-quickstart",
        "flumen topic describe quickstart",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    for row in ["ack ", "floor "] {
        let row = text.lines().find(|line| line.starts_with(row)).unwrap();
        assert!(row.contains("p50") && row.contains("p99.9"), "{row}");
    }
    let node = Node::start(&directory.path().join("flumen-quickstart"));
    let first = node.ok(&["--json", "consume", "quickstart", "--from", "start", "--to-end"]);
    let mut numbers: Vec<u64> = Vec::new();
    for line in first.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        numbers.push(record["key"].as_str().unwrap().parse().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=600).collect::<Vec<u64>>());
}

#[test]
fn an_earlier_quickstart_in_the_directory_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = log(directory.path());
    let data = directory.path().join("data");
    let args = ["--json", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    for topic in ["quickstart", "quickstart-2"] {
        let output = quickstart(directory.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["topic"], &report["whole"]), (&topic.into(), &true.into()));
        assert_eq!((&report["lines"], &report["records"]), (&600.into(), &600.into()));
        assert_eq!(report["subscribers"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn a_quickstart_that_stays_serves_and_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (log(directory.path()), directory.path().join("data"));
    let mut command = Command::new(FLUMEN);
    command.args(["quickstart", "--stay", "--lines", "600", "--data"]).arg(&data).arg(&file);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("goes on until") {
        assert!(out.read_line(&mut text).unwrap() > 0, "{text}");
    }
    let address = text.lines().find_map(|line| line.strip_prefix("node ")).unwrap().trim();
    let address = address.split(' ').next().unwrap();
    let list = Command::new(FLUMEN).args(["--server", address, "topic", "list"]).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said(&list).contains("quickstart"), "{}", said(&list));
    let node = Node::start(&data);
    assert_eq!(node.json(&["topic", "list"])["topics"][0]["records"], 600);
}

#[test]
fn a_quickstart_that_stays_ends_cleanly_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(FLUMEN);
    command.args(["quickstart", "--stay", "--lines", "300"]).arg(log(directory.path()));
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("goes on until") {
        assert!(out.read_line(&mut text).unwrap() > 0, "{text}");
    }
    common::send_signal(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_file_that_is_no_text_to_publish_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let output = quickstart(directory.path(), &["/no/such/file"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("/no/such/file"), "{}", said(&output));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was left behind");
}
