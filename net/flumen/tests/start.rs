//! `flumen start` as systemd and a shell see it: one ready line, one node a directory, clear refusals, a clean end.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{FLUMEN, Node, said, start_command};
use std::process::Command;

#[test]
fn a_node_says_ready_once_and_ends_cleanly_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path());
    let wanted = format!("ready native={} data={}\n", node.addr, directory.path().display());
    assert_eq!(node.ready_line, wanted);
    let (status, out, err) = node.terminate();
    assert_eq!(status.code(), Some(0), "{err}");
    assert_eq!(out, "", "nothing stands on standard output but the ready line");
}

#[test]
fn a_second_node_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let first = Node::start(directory.path());
    let second = start_command(directory.path(), "127.0.0.1:0").output().unwrap();
    assert_eq!(second.status.code(), Some(75), "{}", said(&second));
    let err = String::from_utf8_lossy(&second.stderr);
    assert!(err.contains("error: another node runs on"), "{err}");
    assert!(second.stdout.is_empty());
    first.ok(&["status"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Node::start(one.path());
    let second = start_command(two.path(), &first.addr.to_string()).output().unwrap();
    assert!(!second.status.success());
    let err = String::from_utf8_lossy(&second.stderr);
    assert!(err.contains(&format!("cannot listen on {}", first.addr)), "{err}");
}

#[test]
fn an_address_that_others_reach_is_refused_unless_it_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let refused = start_command(directory.path(), "0.0.0.0:0").output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
    assert!(said(&refused).contains("--insecure"), "{}", said(&refused));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was touched");
}

#[test]
fn a_cpu_that_is_not_there_is_a_wrong_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = start_command(directory.path(), "127.0.0.1:0");
    let refused = command.args(["--cores", "8000"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(78), "{}", said(&refused));
    assert!(said(&refused).contains("8000"));
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let letter = directory.path().join("letter.txt");
    std::fs::write(&letter, "dear").unwrap();
    let refused = start_command(directory.path(), "127.0.0.1:0").output().unwrap();
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    assert!(said(&refused).contains("letter.txt"), "{}", said(&refused));
    assert_eq!(std::fs::read_to_string(letter).unwrap(), "dear");
}

#[test]
fn a_missing_mount_is_not_an_empty_node() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = start_command(directory.path(), "127.0.0.1:0");
    let refused = command.arg("--require-existing").output().unwrap();
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    assert!(said(&refused).contains("require_existing"), "{}", said(&refused));
}

#[test]
fn a_verb_without_a_node_says_so_at_once() {
    // Nothing listens on port 1 of a machine that runs tests.
    for verb in [&["status"][..], &["topic", "list"], &["consume", "t"], &["subscription", "list"]] {
        let output = Command::new(FLUMEN).args(["--server", "127.0.0.1:1"]).args(verb).output().unwrap();
        assert_eq!(output.status.code(), Some(69), "{verb:?}: {}", said(&output));
        assert!(said(&output).contains("127.0.0.1:1"), "{}", said(&output));
    }
}
