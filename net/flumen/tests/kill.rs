//! kill -9 under load, again and again: everything acked is there, in order, once; and a node that was killed while
//! it recovered is no worse off.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{Node, said, start_command};
use flumen_client::blocking::{Client, Producer};
use flumen_client::{NewRecord, ProducerSettings, Settings};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const PARTITIONS: u64 = 3;
const ROUNDS: u64 = 10;
/// Records that are sent before their acks are waited for.
const BURST: u64 = 150;
/// Acks in each round before the node is killed; more each round, so that kills fall everywhere.
const ACKS_A_ROUND: u64 = 1500;

/// Writes numbered records to all partitions in turn until it is told to stop. `acked` is always the number of
/// records that are acked: all below it.
fn write(mut producer: Producer, acked: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        for number in next..next + BURST {
            let record =
                NewRecord::to("load").partition((number % PARTITIONS) as u32).value(number.to_string());
            producer.send(&record).unwrap();
        }
        producer.flush();
        while let Some((_, result)) = producer.next_completed() {
            result.unwrap();
            next += 1;
        }
        acked.store(next, Ordering::Release);
    }
    next
}

/// Stops the writer however the test ends, so that a failure shows at once.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until so many are acked.
fn wait_for(acked: &AtomicU64, wanted: u64) {
    while acked.load(Ordering::Acquire) < wanted {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts a node where one was killed. Its port may be in somebody's hands for a moment.
fn restart(data: &Path, addr: SocketAddr) -> Node {
    let mut last = String::new();
    for _ in 0..100 {
        match Node::try_start(data, &addr.to_string()) {
            Ok(node) => return node,
            Err(said) if said.contains("cannot listen") => last = said,
            Err(said) => panic!("the node does not come back: {said}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the port stays taken: {last}");
}

/// Starts a node and kills it a moment later, wherever it is then.
fn start_and_kill(data: &Path, addr: SocketAddr, after: Duration) {
    let mut child = start_command(data, &addr.to_string()).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A partition's records from its start.
fn read_back(node: &Node, partition: u64) -> Vec<u64> {
    let partition = partition.to_string();
    let text = node.ok(&["consume", "load", "--partition", &partition, "--from", "start", "--to-end"]);
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn everything_acked_survives_kill_9_under_load_in_order_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = Node::start(&data);
    let addr = node.addr;
    node.ok(&["topic", "create", "load", "--partitions", &PARTITIONS.to_string()]);
    let settings = Settings {
        backoff_max: Duration::from_millis(100),
        delivery_timeout: Duration::from_secs(60),
        ..Settings::default()
    };
    let producer = Client::new(&addr.to_string(), settings).producer(ProducerSettings::default()).unwrap();
    let (acked, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (total, node) = std::thread::scope(|scope| {
        let mut node = node;
        let writer = scope.spawn(|| write(producer, &acked, &stop));
        let at_end = StopAtEnd(&stop);
        for round in 0..ROUNDS {
            let before = acked.load(Ordering::Acquire);
            wait_for(&acked, before + ACKS_A_ROUND + 37 * round);
            let sure = acked.load(Ordering::Acquire);
            node.kill();
            if round % 3 == 2 {
                start_and_kill(&data, addr, Duration::from_millis(20 * round));
            }
            node = restart(&data, addr);
            // What was acked before the kill is there at once, whatever the writer does meanwhile.
            let back = read_back(&node, round % PARTITIONS);
            let wanted = (0..sure).filter(|number| number % PARTITIONS == round % PARTITIONS);
            assert!(back.iter().copied().zip(wanted).all(|(got, wanted)| got == wanted), "round {round}");
            assert!(back.len() as u64 >= sure / PARTITIONS, "round {round}: {} of {sure}", back.len());
        }
        drop(at_end);
        (writer.join().unwrap(), node)
    });
    assert!(total >= ROUNDS * ACKS_A_ROUND);
    for partition in 0..PARTITIONS {
        let wanted: Vec<u64> = (0..total).filter(|number| number % PARTITIONS == partition).collect();
        assert!(read_back(&node, partition) == wanted, "partition {partition}: every record once, in order");
    }
    node.kill();
    let check = Command::new(common::FLUMEN).arg("check").arg(&data).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "a kill leaves no damage: {}", said(&check));
}
