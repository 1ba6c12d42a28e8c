//! The limits of a node at their full height, against a real process: ten thousand partitions on a core, ten thousand
//! connections, and a clear word for the one that is too many.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod common;

use common::{Node, said};
use flumen_client::blocking::{Client, RawConnection};
use flumen_client::{NewRecord, ProducerSettings, Settings};
use flumen_model::Code;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::time::Duration;

/// What a partition may cost in memory, with data or without.
const PARTITION_BYTES_MAX: u64 = 16 * 1024;
/// What a connection may cost while it waits: a buffer for what comes (4 KiB), what is to go out, its tasks and its
/// place in the tables, about 11 KB in all. The kernel's own memory for a socket is not the node's.
const CONNECTION_BYTES_MAX: u64 = 16 * 1024;

/// Topics that fill one shard up to `limits.partitions_per_shard_max`.
const FULL_SHARD: [(&str, u32); 3] = [("many", 6000), ("more", 3000), ("last", 1000)];

/// Writes one small record to each partition of a topic and waits for the acks.
fn one_record_each(addr: SocketAddr, topic: &str, partitions: u32) {
    let client = Client::new(&addr.to_string(), Settings::default());
    let mut producer = client.producer(ProducerSettings::default()).unwrap();
    for number in 0..partitions {
        let key = format!("key {number}");
        producer.send(&NewRecord::to(topic).partition(number).key(key).value("small")).unwrap();
    }
    producer.flush();
    let mut acked = 0;
    while let Some((_, result)) = producer.next_completed() {
        result.unwrap();
        acked += 1;
    }
    assert_eq!(acked, partitions);
}

/// Tries again until it is so. A background task of the node has all the time that a busy machine may take.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it never comes to be that {what}");
}

fn create(node: &Node, name: &str, partitions: u32) -> Output {
    node.run(&["topic", "create", name, "--partitions", &partitions.to_string()])
}

#[test]
fn ten_thousand_partitions_on_a_core_cost_at_most_16_kib_each_and_one_more_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start_with(&directory.path().join("data"), 1, &[]);
    let empty = node.resident_bytes();
    for (name, partitions) in FULL_SHARD {
        let output = create(&node, name, partitions);
        assert!(output.status.success(), "{}", said(&output));
    }
    let held: u64 = FULL_SHARD.iter().map(|(_, partitions)| u64::from(*partitions)).sum();
    let each = |now: u64| now.saturating_sub(empty) / held;
    let without_data = node.resident_bytes();
    for (name, partitions) in FULL_SHARD {
        one_record_each(node.addr, name, partitions);
    }
    let with_data = node.resident_bytes();
    eprintln!(
        "{held} partitions: {} bytes each without data, {} with a record",
        each(without_data),
        each(with_data)
    );
    assert!(each(with_data) <= PARTITION_BYTES_MAX, "{} bytes a partition", each(with_data));

    // A node that holds as much from its start on costs no more.
    let data = node.data.clone();
    node.kill();
    let node = Node::start_with(&data, 1, &[]);
    let started = each(node.resident_bytes());
    eprintln!("{held} partitions: {started} bytes each after a kill and a start");
    assert!(started <= PARTITION_BYTES_MAX, "{started} bytes a partition");

    let refused = create(&node, "straw", 1);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    let sentence = said(&refused);
    assert!(sentence.starts_with("error: ") && sentence.lines().count() == 1, "{sentence}");
    for word in ["10000 are held", "the limit is 10000", "delete topics or raise the limit"] {
        assert!(sentence.contains(word), "{word}: {sentence}");
    }

    // Full is not stuck: what is there is served, and what is freed may be used again.
    let last = (FULL_SHARD[0].1 - 1).to_string();
    assert_eq!(node.ok(&["consume", "many", "--partition", &last, "--from", "start", "--to-end"]), "small\n");
    node.ok(&["topic", "delete", "last"]);
    wait_until("a deleted topic's partitions are free again", || {
        create(&node, "straw", 1000).status.success()
    });
    node.produce(&["straw"], "it carries\n");
    assert_eq!(node.ok(&["consume", "straw", "--from", "start", "--to-end"]), "it carries\n");
    assert_eq!(create(&node, "feather", 1).status.code(), Some(77), "the shard is full again");
}

/// Raises this process's descriptor limit as far as it goes; the nodes that it starts inherit it.
fn descriptors_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    limit.maximum.map_or(usize::MAX, |most| most as usize)
}

/// Connections that do nothing: half of them said hello, half never say a word.
fn open_idle(addr: SocketAddr, count: usize) -> (Vec<RawConnection>, Vec<TcpStream>) {
    let patient = Settings { connect_timeout: Duration::from_secs(120), ..Settings::default() };
    let (mut greeted, mut silent) = (Vec::new(), Vec::new());
    for _ in 0..count / 2 {
        silent.push(TcpStream::connect(addr).unwrap());
        // Its answer comes when the silent one before it was accepted.
        greeted.push(RawConnection::connect_with(addr, None, &patient).unwrap());
    }
    (greeted, silent)
}

#[test]
fn ten_thousand_idle_connections_do_not_keep_others_from_being_served() {
    // Beside them stand the node's files and what the test itself needs.
    let count = descriptors_max().saturating_sub(500).min(10_000);
    assert!(count >= 1000, "a hard limit of {count} descriptors shows nothing: raise it (ulimit -Hn)");
    let directory = tempfile::tempdir().unwrap();
    // However slow the machine is, the silent ones stay.
    let node = Node::start_with(&directory.path().join("data"), 2, &["limits.handshake_ms_max=1h"]);
    node.ok(&["topic", "create", "orders", "--partitions", "2"]);
    node.produce(&["orders"], "before\n");
    let (memory, descriptors) = (node.resident_bytes(), node.open_descriptors());

    let idle = open_idle(node.addr, count);
    let grown = node.resident_bytes().saturating_sub(memory) / count as u64;
    eprintln!("{count} connections: {grown} bytes each");
    assert!(node.open_descriptors() >= count, "all of them are open in the node");
    assert!(grown <= CONNECTION_BYTES_MAX, "{grown} bytes a connection");
    node.produce(&["orders"], "meanwhile\n");
    let mut back: Vec<String> = read_all(&node);
    assert_eq!(back, ["before", "meanwhile"]);

    drop(idle);
    wait_until("the descriptors are given back", || node.open_descriptors() < descriptors + 100);
    node.produce(&["orders"], "thereafter\n");
    back = read_all(&node);
    assert_eq!(back, ["before", "meanwhile", "thereafter"]);
}

/// The records of a topic of two partitions, sorted.
fn read_all(node: &Node) -> Vec<String> {
    let text = node.ok(&["consume", "orders", "--from", "start", "--to-end"]);
    let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_connection_above_the_limit_is_told_so_and_one_that_leaves_makes_room() {
    const MAX: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let settings = ["limits.connections_max=8", "limits.handshake_ms_max=1h"];
    let node = Node::start_with(&directory.path().join("data"), 1, &settings);
    let mut connected: Vec<_> = (0..MAX).map(|_| RawConnection::connect(node.addr, None).unwrap()).collect();
    let refused = RawConnection::connect(node.addr, None).unwrap_err();
    assert_eq!(refused.code, Code::LimitReached, "{refused}");
    for word in ["8 connections", "connections_max"] {
        assert!(refused.message.contains(word), "{refused}");
    }
    let verb = node.run(&["status"]);
    assert_eq!(verb.status.code(), Some(77), "{}", said(&verb));
    assert!(said(&verb).contains("connections_max"), "{}", said(&verb));
    connected.pop();
    wait_until("one that left makes room", || RawConnection::connect(node.addr, None).is_ok());
    drop(connected);
    wait_until("the node serves again", || node.run(&["status"]).status.success());
}
