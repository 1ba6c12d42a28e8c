//! The verbs against a real node: what goes in comes out, what is wrong is said, and `--json` is what `OUTPUT.md`
//! says.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{Node, lines, said};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

/// A node with an empty directory of its own.
fn node() -> (tempfile::TempDir, Node) {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(&directory.path().join("data"));
    (directory, node)
}

/// `from..=to`, one a line.
fn numbers(from: u32, to: u32) -> String {
    (from..=to).map(|number| format!("{number}\n")).collect()
}

fn sorted(text: &str) -> Vec<u32> {
    let mut all: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    all.sort_unstable();
    all
}

#[test]
fn every_line_comes_back_as_a_record_in_the_order_of_its_partition() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders", "--partitions", "3"]);
    node.produce(&["orders"], &numbers(1, 5000));
    let all = node.ok(&["consume", "orders", "--from", "start", "--to-end"]);
    assert_eq!(sorted(&all), (1..=5000).collect::<Vec<u32>>());
    for partition in ["0", "1", "2"] {
        let one = node.ok(&["consume", "orders", "--partition", partition, "--from", "start", "--to-end"]);
        let one: Vec<u32> = one.lines().map(|line| line.parse().unwrap()).collect();
        assert!(one.is_sorted(), "partition {partition}");
    }
    let count = node.ok(&["consume", "orders", "--from", "start", "--count", "7"]);
    assert_eq!(lines(&count).len(), 7);
}

#[test]
fn a_text_comes_back_byte_for_byte_whatever_is_in_it() {
    let (directory, node) = node();
    let text = b"\n \r\n\xff\xfe\x00zero\n\nlong ".iter().chain([b'x'; 70_000].iter()).chain(b"\nlast\n");
    let text: Vec<u8> = text.copied().collect();
    let file = directory.path().join("text");
    std::fs::write(&file, &text).unwrap();
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        node.ok(&["topic", "create", compression]);
        let path = file.to_str().unwrap();
        node.ok(&["produce", compression, "--file", path, "--compression", compression]);
        let back = node.run(&["consume", compression, "--from", "start", "--to-end"]);
        assert!(back.stdout == text, "{compression}: {}", said(&back));
    }
}

#[test]
fn keys_choose_partitions_and_json_shows_everything() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders", "--partitions", "4"]);
    node.produce(&["orders", "--key-separator", ":"], "a:1\nb:2\na:3\nno key\n");
    node.produce(&["orders", "--partition", "2", "--acks", "leader"], "there\n");
    let text = node.ok(&["consume", "orders", "--from", "start", "--to-end", "--format", "json"]);
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 5);
    let of_value = |value: &str| records.iter().find(|record| record["value"] == value).unwrap();
    assert_eq!((&of_value("1")["key"], &of_value("2")["key"]), (&"a".into(), &"b".into()));
    assert_eq!(of_value("1")["partition"], of_value("3")["partition"]);
    assert_eq!(of_value("no key")["key"], Value::Null);
    assert_eq!(of_value("there")["partition"], 2);
    let keys: Vec<&str> = records[0].as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = BTreeSet::from(["topic", "partition", "offset", "timestamp", "key", "value", "headers"]);
    assert_eq!(BTreeSet::from_iter(keys), wanted);
    let by_flag = node.ok(&["--json", "consume", "orders", "--from", "start", "--to-end"]);
    assert_eq!(by_flag.lines().count(), text.lines().count());
}

#[test]
fn reading_begins_where_it_is_told_to() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    node.produce(&["orders"], &numbers(0, 9));
    let read = |from: &str| node.ok(&["consume", "orders", "--from", from, "--to-end"]);
    assert_eq!(read("start"), numbers(0, 9));
    assert_eq!(read("7"), numbers(7, 9));
    assert_eq!(read("end"), "");
    assert_eq!(read("@-1h"), numbers(0, 9));
    assert_eq!(read("@2100-01-01T00:00:00Z"), "");
    for until in [&["--to-end"][..], &["--count", "1"]] {
        let far = node.run(&[&["consume", "orders", "--from", "11"], until].concat());
        assert_eq!(far.status.code(), Some(64), "{}", said(&far));
        assert!(said(&far).contains("11"), "{}", said(&far));
    }
}

#[test]
fn a_named_subscription_goes_on_where_it_stopped_and_knows_its_lag() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders", "--partitions", "2"]);
    node.produce(&["orders"], &numbers(1, 100));
    let read = |more: &[&str]| {
        let args = ["consume", "orders", "--subscription", "billing", "--from", "start"];
        node.ok(&[&args[..], more].concat())
    };
    let first = read(&["--count", "30"]);
    let lag = node.json(&["subscription", "describe", "billing"]);
    assert_eq!(lag["lag_records"], 70);
    assert!(lag["lag_seconds"].as_f64().unwrap() > 0.0);
    let second = read(&["--to-end"]);
    assert_eq!(sorted(&(first + &second)), (1..=100).collect::<Vec<u32>>());
    assert_eq!(read(&["--to-end"]), "");
    let lag = node.json(&["subscription", "describe", "billing"]);
    assert_eq!((lag["lag_records"].as_u64(), lag["lag_seconds"].as_f64()), (Some(0), Some(0.0)));
    assert_eq!(node.ok(&["subscription", "list"]), "billing\n");

    node.ok(&["subscription", "reset", "billing", "--to", "start"]);
    assert_eq!(node.json(&["subscription", "describe", "billing"])["lag_records"], 100);
    node.ok(&["subscription", "reset", "billing", "--to", "@2100-01-01T00:00:00Z"]);
    assert_eq!(read(&["--to-end"]), "");
    let refused = node.run(&["subscription", "reset", "billing", "--to", "1000"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(said(&refused).contains("nothing was moved"), "{}", said(&refused));
    node.ok(&["subscription", "reset", "other", "--to", "end", "--topic", "orders"]);
    assert_eq!(node.ok(&["subscription", "list"]), "billing\nother\n");

    node.ok(&["subscription", "delete", "billing"]);
    let gone = node.run(&["subscription", "describe", "billing"]);
    assert_eq!(gone.status.code(), Some(64), "{}", said(&gone));
}

#[test]
fn positions_outlive_the_node() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    node.produce(&["orders"], &numbers(1, 10));
    let args = ["consume", "orders", "--subscription", "billing", "--from", "start"];
    assert_eq!(node.ok(&[&args[..], &["--count", "4"]].concat()), numbers(1, 4));
    let data = node.data.clone();
    node.kill();
    let node = Node::start(&data);
    assert_eq!(node.ok(&[&args[..], &["--to-end"]].concat()), numbers(5, 10));
}

#[test]
fn a_new_subscription_at_the_end_misses_nothing_from_then_on() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders", "--partitions", "2"]);
    node.produce(&["orders"], &numbers(1, 10));
    let args = ["consume", "orders", "--subscription", "late", "--to-end"];
    assert_eq!(node.ok(&args), "");
    node.produce(&["orders"], &numbers(11, 20));
    assert_eq!(sorted(&node.ok(&args)), (11..=20).collect::<Vec<u32>>());
}

#[test]
fn an_interrupted_reader_has_kept_what_it_printed() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    node.produce(&["orders"], &numbers(1, 3));
    let args = ["consume", "orders", "--subscription", "live", "--from", "start"];
    let mut child = node.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("3\n") {
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    // It follows: what is produced now is printed without being asked for again.
    node.produce(&["orders"], "4\n");
    while !line.ends_with("4\n") {
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    common::send_signal(child.id(), "INT");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!((line.as_str(), rest.as_str()), ("1\n2\n3\n4\n", ""));
    assert_eq!(node.json(&["subscription", "describe", "live"])["lag_records"], 0);
}

#[test]
fn a_reader_that_stops_listening_is_no_error() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    node.produce(&["orders"], &numbers(1, 50_000));
    let mut child =
        node.command(&["consume", "orders", "--from", "start"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(line, "1\n");
}

#[test]
fn a_reader_to_the_end_does_not_wait_for_ever_for_a_node_that_is_gone() {
    let (directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    // More than a reader is sent ahead of what it has printed.
    let file = directory.path().join("lines");
    std::fs::write(&file, format!("{}\n", "x".repeat(60_000)).repeat(400)).unwrap();
    node.ok(&["produce", "orders", "--file", file.to_str().unwrap()]);
    let mut command = node.command(&["consume", "orders", "--from", "start", "--to-end"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    // Nobody reads on, so the reader's pipe is full and it stands still.
    node.kill();
    let rest = common::collect(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(rest.join().unwrap().lines().count() < 399, "the node was gone before the end");
}

#[test]
fn trimmed_records_are_gone_and_a_subscription_is_told() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    node.produce(&["orders"], &numbers(0, 9));
    let args = ["consume", "orders", "--subscription", "billing", "--from", "start"];
    node.ok(&[&args[..], &["--count", "2"]].concat());
    let trimmed = node.json(&["topic", "trim", "orders", "--partition", "0", "--before", "5"]);
    assert_eq!(trimmed["log_start"], 5);
    assert_eq!(node.ok(&["consume", "orders", "--from", "start", "--to-end"]), numbers(5, 9));
    let output = node.run(&[&args[..], &["--to-end"]].concat());
    assert_eq!(String::from_utf8_lossy(&output.stdout), numbers(5, 9));
    assert!(said(&output).contains("offsets 2 to 4 are gone"), "{}", said(&output));
}

#[test]
fn topics_are_made_shown_changed_and_deleted() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "b", "--partitions", "2", "--set", "retention.ms=60000"]);
    node.ok(&["topic", "create", "a"]);
    node.produce(&["b"], "x\ny\n");
    let table = node.ok(&["topic", "list"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["TOPIC", "PARTITIONS", "RECORDS", "BYTES", "STATE"]);
    assert_eq!((rows[1][0], rows[2][0], rows[2][1], rows[2][2]), ("a", "b", "2", "2"));

    let value = |topic: &Value, key: &str| {
        let settings = topic["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["key"] == key).unwrap();
        (setting["value"].clone(), setting["source"].clone())
    };
    assert_eq!(
        value(&node.json(&["topic", "describe", "b"]), "retention.ms"),
        ("60000".into(), "topic".into())
    );
    node.ok(&["topic", "alter", "b", "--unset", "retention.ms", "--set", "retention.bytes=5000000"]);
    let described = node.json(&["topic", "describe", "b"]);
    assert_eq!(value(&described, "retention.ms"), ("604800000".into(), "default".into()));
    assert_eq!(value(&described, "retention.bytes"), ("5000000".into(), "topic".into()));
    assert_eq!(value(&described, "segment.bytes"), (Value::Null, "node".into()));

    node.ok(&["topic", "delete", "b"]);
    assert_eq!(node.json(&["topic", "list"])["topics"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_what_would_be_right() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    for (args, wanted) in [
        (&["topic", "create", "orders"][..], "orders"),
        (&["topic", "create", "bad name"], "a-z A-Z 0-9"),
        (&["topic", "create", "x", "--partitions", "0"], "partition"),
        (&["topic", "create", "x", "--set", "retention.m=5"], "retention.ms"),
        (&["topic", "describe", "ordres"], "did you mean orders?"),
        (&["topic", "delete", "nothing"], "nothing"),
        (&["topic", "trim", "orders", "--partition", "4", "--before", "1"], "no partition 4"),
        (&["produce", "nowhere"], "flumen topic create nowhere"),
        (&["produce", "orders", "--partition", "9"], "no partition 9"),
        (&["produce", "orders", "--file", "/no/such/file"], "/no/such/file"),
        (&["consume", "nowhere"], "there is no topic nowhere"),
        (&["consume", "orders", "--subscription", "bad name"], "a-z A-Z 0-9"),
        (&["subscription", "describe", "nobody"], "there is no subscription nobody"),
        (&["subscription", "reset", "nobody", "--to", "start"], "there is no subscription nobody"),
    ] {
        let output = node.run(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", said(&output));
        let error = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(error.starts_with("error: ") && error.contains(wanted), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(output.stdout.is_empty(), "{args:?}: an error prints no answer");
    }
}

#[test]
fn a_record_over_the_limit_is_refused_and_what_came_before_it_is_written() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "small", "--set", "max.message.bytes=2048"]);
    let output = node.feed(&["produce", "small"], format!("first\n{}\n", "x".repeat(5000)).as_bytes());
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("error: "), "{}", said(&output));
    let back = node.ok(&["consume", "small", "--from", "start", "--to-end"]);
    assert!(back.is_empty() || back == "first\n", "{back}");
}

#[test]
fn produce_says_how_much_it_wrote_and_never_on_standard_output() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    let output = node.feed(&["produce", "orders"], numbers(1, 1000).as_bytes());
    assert!(output.stdout.is_empty());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("1,000 records written to orders, "), "{error}");
    let output = node.feed(&["--json", "produce", "orders"], b"a\nbc\n");
    let written: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&written["records"], &written["bytes"], &written["failed"]),
        (&2.into(), &3.into(), &0.into())
    );
    let output = node.feed(&["produce", "orders", "--acks", "none"], b"a\n");
    assert!(said(&output).contains("not acknowledged"), "{}", said(&output));
    let output = node.feed(&["produce", "orders"], b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).starts_with("0 records"), "{}", said(&output));
}

#[test]
fn a_line_is_written_before_the_next_one_is_typed() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders"]);
    let mut child =
        node.command(&["produce", "orders"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"first\n").unwrap();
    assert_eq!(node.ok(&["consume", "orders", "--from", "start", "--count", "1"]), "first\n");
    drop(stdin);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn status_shows_every_shard() {
    let (_directory, node) = node();
    node.ok(&["topic", "create", "orders", "--partitions", "3"]);
    let status = node.json(&["status"]);
    assert_eq!((&status["topics"], &status["partitions"]), (&1.into(), &3.into()));
    let shards = status["shards"].as_array().unwrap();
    let ids: Vec<u64> = shards.iter().map(|shard| shard["shard"].as_u64().unwrap()).collect();
    assert_eq!(ids, [0, 1]);
    let text = node.ok(&["status"]);
    assert!(text.contains("1 topic, 3 partitions"), "{text}");
    assert_eq!(text.lines().filter(|line| line.trim_end().ends_with("free")).count(), 2, "{text}");
}

#[test]
fn check_finds_a_clean_directory_whole_and_never_touches_a_running_node() {
    let (directory, node) = node();
    node.ok(&["topic", "create", "orders", "--partitions", "2"]);
    node.produce(&["orders"], &numbers(1, 1000));
    let data = node.data.display().to_string();
    let refused = node.run(&["check", &data]);
    assert_eq!(refused.status.code(), Some(75), "{}", said(&refused));
    let (_, _, err) = node.terminate();
    let flumen = |args: &[&str]| std::process::Command::new(common::FLUMEN).args(args).output().unwrap();
    let output = flumen(&["--json", "check", &data]);
    assert_eq!(output.status.code(), Some(0), "{}{err}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["whole"], &report["topics"]), (&true.into(), &1.into()));
    let ends: u64 =
        report["partitions"].as_array().unwrap().iter().map(|one| one["end"].as_u64().unwrap()).sum();
    assert_eq!(ends, 1000);
    let text = flumen(&["check", &data]);
    assert!(said(&text).contains("whole: every checksum holds"), "{}", said(&text));
    let nothing = directory.path().join("nothing").display().to_string();
    assert_eq!(flumen(&["check", &nothing]).status.code(), Some(64));
    let healthy = flumen(&["repair", &data, "--accept-loss", "orders/0"]);
    assert_eq!(healthy.status.code(), Some(64), "what is whole is never given up: {}", said(&healthy));
}
