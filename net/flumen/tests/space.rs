//! A full disk, for real: a node on a small filesystem of its own, filled by its own records or by somebody else, down
//! to the last block. Users' records are refused, nothing acked is lost, and what is deleted makes room again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod common;

use common::small_disk::on_small_disk;
use common::{Node, said};
use flumen_client::blocking::{Client, Producer, RawConnection};
use flumen_client::core::connection::Event;
use flumen_client::{NewRecord, ProducerSettings, Settings};
use flumen_model::{Code, Error, Offset, ShardId};
use flumen_wire::{CommitPositionsRequest, Position, decode_reply};
use rustix::fs::{FallocateFlags, fallocate};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Bytes of a record's value.
const VALUE_BYTES: usize = 16 * 1024;
/// Records that are sent before their acks are waited for: 1 MiB.
const BURST: usize = 64;
/// Bursts in the topic that is deleted to make room: 32 MiB, more than any watermark here.
const OTHER_BURSTS: usize = 32;

/// A record's value: its number, and filling that no compression of a filesystem makes small.
fn value(number: usize) -> String {
    let mut text = format!("{number:08}");
    let mut chance = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    while text.len() < VALUE_BYTES {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:08x}", chance >> 32));
    }
    text
}

/// Numbered records of one topic: which of them are acked.
struct Writer {
    producer: Producer,
    topic: &'static str,
    next: usize,
    acked: Vec<usize>,
}

impl Writer {
    fn new(node: &Node, topic: &'static str) -> Writer {
        let client = Client::new(&node.addr.to_string(), Settings::default());
        let producer = client.producer(ProducerSettings::default()).unwrap();
        Writer { producer, topic, next: 0, acked: Vec::new() }
    }

    /// Writes a burst and waits for each record's fate; the errors.
    fn burst(&mut self) -> Vec<Error> {
        let first = self.next;
        let mut tickets = Vec::new();
        for number in first..first + BURST {
            tickets.push(self.producer.send(&NewRecord::to(self.topic).value(value(number))).unwrap());
        }
        self.next += BURST;
        self.producer.flush();
        let mut errors = Vec::new();
        while let Some((ticket, result)) = self.producer.next_completed() {
            let number = first + tickets.iter().position(|sent| *sent == ticket).unwrap();
            match result {
                Ok(_) => self.acked.push(number),
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// Writes until records are refused; how.
    fn until_refused(&mut self) -> Vec<Error> {
        loop {
            let errors = self.burst();
            if !errors.is_empty() {
                return errors;
            }
            assert!(self.next < 1_000_000, "the disk never gets full");
        }
    }
}

/// The disk is full for users' records, and says so everywhere.
fn assert_full(node: &Node, errors: &[Error]) {
    for error in errors {
        assert_eq!(error.code, Code::DiskFull, "{error}");
    }
    let refused = node.feed(&["produce", "big"], b"one more\n");
    assert_eq!(refused.status.code(), Some(74), "{}", said(&refused));
    let sentence = String::from_utf8(refused.stderr).unwrap();
    assert!(sentence.contains("error: ") && sentence.contains("disk is full"), "{sentence}");
    assert_eq!(node.json(&["status"])["shards"][0]["full"], true);
    let topics = node.json(&["topic", "list"]);
    let states = topics["topics"].as_array().unwrap().iter().map(|topic| &topic["state"]);
    assert!(states.clone().all(|state| state == "full"), "{topics}");
}

/// The acked records of a topic are there from `from` on, each once and in order, and no other is.
fn assert_whole(node: &Node, topic: &str, acked: &[usize], from: usize) {
    let text = node.ok(&["consume", topic, "--from", "start", "--to-end"]);
    let mut lines = text.lines();
    for (place, number) in acked.iter().enumerate().skip(from) {
        let got = lines.next();
        assert!(got == Some(&value(*number)), "{topic}, offset {place}: {:?}", got.map(|got| &got[..8]));
    }
    assert_eq!(lines.next().map(|line| &line[..8]), None, "nothing stands behind what is acked");
}

/// Reading, positions, trimming and new topics do not need the space that records need.
fn everything_else_works(node: &Node, acked: &[usize]) {
    assert_whole(node, "big", acked, 0);
    let some = node.ok(&["consume", "big", "--subscription", "s", "--from", "start", "--count", "10"]);
    assert_eq!(some.lines().count(), 10);
    assert_eq!(node.json(&["subscription", "describe", "s"])["positions"][0]["offset"], 10);
    node.ok(&["topic", "trim", "big", "--partition", "0", "--before", "5"]);
    assert_whole(node, "big", acked, 5);
    node.ok(&["topic", "create", "empty", "--partitions", "3"]);
    node.ok(&["topic", "delete", "empty"]);
}

/// Tries again until records are taken. Looking at the space and deleting are background work, and may take the time
/// that a busy machine needs.
fn wait_for_room(writer: &mut Writer) {
    for _ in 0..600 {
        if writer.burst().is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("records are refused for ever though there is room");
}

fn assert_checks(data: &Path) {
    let check = Command::new(common::FLUMEN).arg("check").arg(data).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "a full disk leaves no damage: {}", said(&check));
}

/// A node on a small disk, with a topic to fill and one to delete.
fn node_on(disk: &Path, settings: &[&str]) -> (Node, Writer, Writer) {
    let node = Node::start_with(&disk.join("data"), 1, settings);
    node.ok(&["topic", "create", "big"]);
    node.ok(&["topic", "create", "other"]);
    let (big, mut other) = (Writer::new(&node, "big"), Writer::new(&node, "other"));
    for _ in 0..OTHER_BURSTS {
        assert_eq!(other.burst(), []);
    }
    (node, big, other)
}

#[test]
fn a_disk_filled_with_records_refuses_more_serves_all_and_has_room_again_after_a_delete() {
    let name = "a_disk_filled_with_records_refuses_more_serves_all_and_has_room_again_after_a_delete";
    on_small_disk(name, 192, |disk| {
        // Between two looks at the space a fast machine may write all that is left: below the watermark it is then
        // the filesystem that refuses.
        let settings = ["limits.disk_refuse_bytes=16MiB"];
        let (node, mut big, other) = node_on(disk, &settings);
        let errors = big.until_refused();
        assert_full(&node, &errors);
        everything_else_works(&node, &big.acked);
        assert_whole(&node, "other", &other.acked, 0);

        // Full, killed and started: as before.
        let data = node.data.clone();
        node.kill();
        let node = Node::start_with(&data, 1, &settings);
        assert_full(&node, &[]);
        assert_whole(&node, "big", &big.acked, 5);

        node.ok(&["topic", "delete", "other"]);
        let mut more = Writer::new(&node, "big");
        more.next = big.next;
        wait_for_room(&mut more);
        big.acked.append(&mut more.acked);
        assert_whole(&node, "big", &big.acked, 5);

        node.kill();
        assert_checks(&data);
        let node = Node::start_with(&data, 1, &settings);
        assert_whole(&node, "big", &big.acked, 5);
        assert_eq!(node.json(&["subscription", "describe", "s"])["positions"][0]["offset"], 10);
        node.kill();
        assert_checks(&data);
    });
}

/// Takes every block that is left on the disk, at once.
fn fill_with_ballast(path: &Path) {
    let file = std::fs::File::create(path).unwrap();
    let (mut at, mut piece) = (0, 64 << 20);
    while piece >= 4096 {
        match fallocate(&file, FallocateFlags::empty(), at, piece) {
            Ok(()) => at += piece,
            Err(_) => piece /= 2,
        }
    }
}

/// Commits positions until the journal has gone round twice: each of its files was freed and written anew.
fn commit_for_two_turns(node: &Node) {
    let mut connection = RawConnection::connect(node.addr, Some(ShardId(0))).unwrap();
    let topic =
        Client::new(&node.addr.to_string(), Settings::default()).admin().unwrap().topic("big").unwrap();
    let turns = |node: &Node| node.json(&["status"])["shards"][0]["journal"]["turns"].as_u64().unwrap();
    let before = turns(node);
    let mut count = 0;
    while turns(node) < before + 2 {
        for _ in 0..64 {
            count += 1;
            let position = Position {
                group: topic.partitions[0].group,
                offset: Offset(count % 100),
                leader_epoch: 0,
                metadata: "x".repeat(4000),
            };
            let commit = CommitPositionsRequest { subscription: "often".into(), positions: vec![position] };
            connection.send(&commit).unwrap();
        }
        while connection.in_flight() > 0 {
            let Event::Reply { body, .. } = connection.recv().unwrap() else { panic!("not a reply") };
            decode_reply::<CommitPositionsRequest>(&body).unwrap();
        }
    }
}

#[test]
fn a_disk_that_somebody_else_fills_to_the_last_block_costs_no_acked_record_and_a_delete_gives_room() {
    let name =
        "a_disk_that_somebody_else_fills_to_the_last_block_costs_no_acked_record_and_a_delete_gives_room";
    on_small_disk(name, 192, |disk| {
        // The watermark is so low that writing fails before the node looks: what is acked and not in its segment
        // yet cannot get there.
        let (node, mut big, other) = node_on(disk, &["limits.disk_refuse_bytes=1MiB"]);
        assert_eq!(big.burst(), []);
        let ballast = disk.join("ballast");
        fill_with_ballast(&ballast);
        let errors = big.until_refused();
        assert_full(&node, &errors);
        everything_else_works(&node, &big.acked);
        commit_for_two_turns(&node);
        assert_whole(&node, "big", &big.acked, 5);

        // Without a free block a node starts all the same: who else could give room?
        let data = node.data.clone();
        node.kill();
        let node = Node::start_with(&data, 1, &["limits.disk_refuse_bytes=1MiB"]);
        assert_full(&node, &[]);
        assert_whole(&node, "big", &big.acked, 5);
        assert_whole(&node, "other", &other.acked, 0);
        node.ok(&["topic", "delete", "other"]);
        let mut more = Writer::new(&node, "big");
        more.next = big.next;
        wait_for_room(&mut more);
        big.acked.append(&mut more.acked);

        node.kill();
        assert_checks(&data);
        std::fs::remove_file(&ballast).unwrap();
        let node = Node::start_with(&data, 1, &[]);
        assert_whole(&node, "big", &big.acked, 5);
        wait_for_room(&mut Writer::new(&node, "big"));
    });
}

#[test]
fn a_deletion_that_no_room_was_left_for_is_finished_once_there_is_some() {
    let name = "a_deletion_that_no_room_was_left_for_is_finished_once_there_is_some";
    on_small_disk(name, 192, |disk| {
        let (node, _, other) = node_on(disk, &[]);
        let (data, ballast) = (node.data.clone(), disk.join("ballast"));
        node.kill();
        let shard = data.join("shard-00");
        let _ = std::fs::remove_dir(shard.join("trash"));
        fill_with_ballast(&ballast);
        let node = Node::start_with(&data, 1, &[]);
        assert_whole(&node, "other", &other.acked, 0);
        node.ok(&["topic", "delete", "other"]);
        let stored = || std::fs::read_dir(shard.join("t")).unwrap().count();
        std::fs::remove_file(&ballast).unwrap();
        for _ in 0..600 {
            if stored() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("what could not be deleted at first stays for ever");
    });
}
