//! A process that stands still for seconds, as on a machine that swaps or is moved: node or client is stopped under load
//! and goes on. Nothing is lost and nothing comes twice, whether the other side waits or gives the connection up.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod common;

use common::chance::Chance;
use common::{Ended, Node, said, send_signal};
use flumen_client::blocking::{Client, Producer, RawConnection, Subscriber};
use flumen_client::wire::PingRequest;
use flumen_client::{NewRecord, ProducerSettings, Settings, SubscriberSettings};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const LONG_STOP: Duration = Duration::from_secs(3);
/// Short stops before the long one, each below so many milliseconds.
const SHORT_STOPS: u64 = 10;
const SHORT_STOP_MILLIS: u64 = 60;
const PARTITIONS: u64 = 2;
/// Records that are sent before their acks are waited for.
const BURST: u64 = 50;

/// How far the load has got, and whether to go on.
#[derive(Default)]
struct Load {
    /// Records below were acked.
    acked: AtomicU64,
    /// So many were read.
    read: AtomicU64,
    /// The reader gave its connection up.
    gave_up: AtomicBool,
    stop: AtomicBool,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    /// Waits until a count has risen by so many.
    fn wait_for_more(&self, count: &AtomicU64, more: u64) {
        let wanted = count.load(Ordering::Acquire) + more;
        while count.load(Ordering::Acquire) < wanted {
            assert!(self.goes_on(), "somebody failed");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Stops everybody however the test ends, so that a failure shows at once.
struct StopAtEnd<'a>(&'a Load);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

/// Writes numbered records to the partitions in turn; how many.
fn write(mut producer: Producer, load: &Load) -> u64 {
    let _at_end = StopAtEnd(load);
    let mut next = 0;
    while load.goes_on() {
        for number in next..next + BURST {
            let record = NewRecord::to("t").partition((number % PARTITIONS) as u32).value(number.to_string());
            producer.send(&record).unwrap();
        }
        producer.flush();
        while let Some((_, result)) = producer.next_completed() {
            result.unwrap();
            next += 1;
        }
        load.acked.store(next, Ordering::Release);
    }
    next
}

/// Reads until it has what was written, each record once and in the order of its partition.
fn read(mut subscriber: Subscriber, load: &Load) {
    let _at_end = StopAtEnd(load);
    let mut next: Vec<u64> = (0..PARTITIONS).collect();
    while load.goes_on() || load.read.load(Ordering::Relaxed) < load.acked.load(Ordering::Acquire) {
        let record = subscriber.next(Some(Duration::from_millis(50))).unwrap();
        load.gave_up.fetch_or(subscriber.trouble().is_some(), Ordering::Relaxed);
        let Some(record) = record else { continue };
        let next = &mut next[record.partition.0 as usize];
        assert_eq!(
            record.value.as_deref(),
            Some(next.to_string().as_bytes()),
            "partition {}",
            record.partition
        );
        *next += PARTITIONS;
        load.read.fetch_add(1, Ordering::Release);
    }
}

/// A partition of `t` has the records that were written to it, and nothing else.
fn assert_whole(node: &Node, partition: u64, total: u64) {
    let args = ["consume", "t", "--partition", &partition.to_string(), "--from", "start", "--to-end"];
    let text = node.ok(&args);
    let wanted =
        (0..total).filter(|number| number % PARTITIONS == partition).map(|number| number.to_string());
    assert!(wanted.eq(text.lines()), "partition {partition}: every record once, in order");
}

/// The node stops under load and goes on; clients behave as `settings` say.
fn stop_the_node(settings: &Settings, mut chance: Chance) {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(&directory.path().join("data"));
    node.ok(&["topic", "create", "t", "--partitions", &PARTITIONS.to_string()]);
    let client = Client::new(&node.addr.to_string(), settings.clone());
    let producer = client.producer(ProducerSettings::default()).unwrap();
    let mut subscriber = client.subscriber(SubscriberSettings::default()).unwrap();
    subscriber.add_topic("t");
    let mut patient = RawConnection::connect(node.addr, None).unwrap();
    let load = Load::default();
    let total = std::thread::scope(|scope| {
        let at_end = StopAtEnd(&load);
        let writer = scope.spawn(|| write(producer, &load));
        scope.spawn(|| read(subscriber, &load));
        load.wait_for_more(&load.read, 500);
        for _ in 0..SHORT_STOPS {
            send_signal(node.pid(), "STOP");
            std::thread::sleep(chance.millis_below(SHORT_STOP_MILLIS));
            send_signal(node.pid(), "CONT");
            std::thread::sleep(chance.millis_below(SHORT_STOP_MILLIS));
        }
        load.wait_for_more(&load.acked, 1);
        send_signal(node.pid(), "STOP");
        patient.send(&PingRequest {}).unwrap();
        std::thread::sleep(LONG_STOP / 2);
        let half_way = load.acked.load(Ordering::Acquire);
        std::thread::sleep(LONG_STOP / 2);
        assert_eq!(load.acked.load(Ordering::Acquire), half_way, "who stands still acks nothing");
        send_signal(node.pid(), "CONT");
        patient.recv().expect("a connection outlives the stop of its node");
        load.wait_for_more(&load.acked, 500);
        load.wait_for_more(&load.read, 500);
        drop(at_end);
        writer.join().unwrap()
    });
    let impatient = settings.request_timeout < LONG_STOP;
    assert_eq!(
        load.gave_up.into_inner(),
        impatient,
        "who waits keeps its connection, who does not gives it up"
    );
    (0..PARTITIONS).for_each(|partition| assert_whole(&node, partition, total));
    let (status, _, log) = node.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("stands still"), "the watchdog watches cores, not the process: {log}");
}

#[test]
fn a_node_that_was_stopped_goes_on_and_connections_that_waited_live_on() {
    let chance = Chance::of_run("a stopped node", "FLUMEN_STOP_SEED");
    stop_the_node(&Settings::default(), chance);
}

#[test]
fn a_node_that_was_stopped_meets_clients_that_gave_it_up_and_repeats_nothing() {
    let chance = Chance::of_run("an abandoned node", "FLUMEN_STOP_SEED");
    let request_timeout = Duration::from_millis(300);
    stop_the_node(
        &Settings { request_timeout, connect_timeout: request_timeout, ..Settings::default() },
        chance,
    );
}

#[test]
fn a_producer_that_was_stopped_goes_on_and_writes_every_line_once() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(&directory.path().join("data"));
    node.ok(&["topic", "create", "t"]);
    let mut command = node.command(&["produce", "t"]);
    let mut producing = Ended(command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut input = producing.0.stdin.take().unwrap();
    let (lines, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            // With the process stopped the pipe fills, and this waits.
            while !stop.load(Ordering::Acquire) && writeln!(input, "{number}").is_ok() {
                number += 1;
                lines.store(number, Ordering::Release);
            }
            drop(input);
            number
        });
        while lines.load(Ordering::Acquire) < 5_000 {
            std::thread::sleep(Duration::from_millis(2));
        }
        send_signal(producing.0.id(), "STOP");
        std::thread::sleep(LONG_STOP);
        // Meanwhile the node has time for others.
        node.produce(&["t", "--key-separator", ":"], "other:other\n");
        send_signal(producing.0.id(), "CONT");
        let before = lines.load(Ordering::Acquire);
        while lines.load(Ordering::Acquire) < before + 20_000 {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Release);
        writer.join().unwrap()
    });
    assert!(producing.0.wait().unwrap().success());
    let text = node.ok(&["consume", "t", "--from", "start", "--to-end"]);
    let mine = text.lines().filter(|line| *line != "other");
    assert!(mine.eq((0..total).map(|number| number.to_string())), "every line once, in order");
    assert_eq!(text.lines().count() as u64, total + 1);
}

#[test]
fn a_reader_that_was_stopped_keeps_nobody_waiting_and_then_reads_on_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(&directory.path().join("data"));
    node.ok(&["topic", "create", "t"]);
    let line = |number: u64| format!("{number} {}", "x".repeat(1_000));
    let file = directory.path().join("lines");
    // Several times what a reader is sent ahead, and more than the cache keeps.
    let lines: String = (0..24_000).map(|number| line(number) + "\n").collect();
    std::fs::write(&file, &lines).unwrap();
    let mut command = node.command(&["consume", "t", "--from", "start", "--count", "24001"]);
    let mut reading = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut out = BufReader::new(reading.0.stdout.take().unwrap()).lines();
    node.produce(&["t"], "first\n");
    assert_eq!(out.next().unwrap().unwrap(), "first");
    send_signal(reading.0.id(), "STOP");
    let written = node.run(&["produce", "t", "--file", file.to_str().unwrap()]);
    assert!(written.status.success(), "a reader that stands still is no reason to wait: {}", said(&written));
    std::thread::sleep(LONG_STOP);
    send_signal(reading.0.id(), "CONT");
    for number in 0..24_000 {
        assert!(out.next().unwrap().unwrap() == line(number), "line {number}");
    }
    assert!(reading.0.wait().unwrap().success());
}
