//! A reading whose node goes away and comes back goes on where it was, and says both on standard error, once each.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{Ended, Node, start_command};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

#[test]
fn consume_says_when_it_lost_its_node_and_when_it_is_back_and_misses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = Node::start(&data);
    let native = node.addr.to_string();
    node.ok(&["topic", "create", "t"]);
    node.produce(&["t"], "one\n");
    let mut command = node.command(&["consume", "t", "--from", "start", "--count", "2"]);
    let mut reading = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut out = BufReader::new(reading.0.stdout.take().unwrap());
    let mut notes = BufReader::new(reading.0.stderr.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    node.kill();
    let mut lost = String::new();
    notes.read_line(&mut lost).unwrap();
    assert!(lost.starts_with(&format!("note: lost the connection to {native}, trying again: ")), "{lost}");
    // It tries more than once, and stays silent about it.
    std::thread::sleep(Duration::from_secs(1));
    let node = Node::restart(|| start_command(&data, &native), &data);
    node.produce(&["t"], "two\n");
    let (mut rest, mut said) = (String::new(), String::new());
    out.read_to_string(&mut rest).unwrap();
    notes.read_to_string(&mut said).unwrap();
    assert_eq!((rest.as_str(), said), ("two\n", format!("note: connected to {native} again\n")));
    assert!(reading.0.wait().unwrap().success());
}
