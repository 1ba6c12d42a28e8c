//! kill -9 under load, again and again, at random moments, also while the node recovers. Writers, a named reader and an
//! operator go on all the while; after every kill the whole node is read back and held to everything that was acked.
//! `FLUMEN_KILL_ROUNDS` makes the run longer, `FLUMEN_KILL_SEED` chooses the same again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod operator;
mod reader;
mod verify;
mod writer;

use common::chance::Chance;
use common::{HOSTS, Node, assert_checks, start_command_with};
use flumen_client::Settings;
use ledger::{Ledger, PARTITIONS, WRITERS};
use operator::Operator;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Rounds where nobody asks for more.
const ROUNDS: u64 = 8;
/// Acked bytes of values that most rounds wait for, so that the journals turn. The others end at any moment.
const BYTES_A_ROUND: u64 = 10 << 20;
/// What the writers may write beyond that, while the node is killed and read back.
const BYTES_AHEAD: u64 = 8 << 20;
/// A kill while it recovers, or formats, comes within this time.
const RECOVERY_MILLIS: u64 = 250;

/// How clients behave here: they come back soon, and do not give up for a busy machine.
fn settings(chance: &mut Chance) -> Settings {
    Settings {
        backoff_max: Duration::from_millis(100),
        delivery_timeout: Duration::from_secs(600),
        seed: chance.next(),
        ..Settings::default()
    }
}

/// Stops everybody however the test ends, so that a failure shows at once.
struct StopAtEnd<'a>(&'a Ledger);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Somebody's work; whoever fails stops everybody.
fn work(ledger: &Ledger, work: impl FnOnce()) {
    let _at_end = StopAtEnd(ledger);
    work();
}

/// A data directory that stays when the test fails.
struct Data(Option<tempfile::TempDir>);

impl Data {
    fn path(&self) -> PathBuf {
        self.0.as_ref().unwrap().path().join("data")
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the data directory stays: {}", self.0.take().unwrap().keep().display());
        }
    }
}

/// One node, killed and started for ever.
struct Victim<'a> {
    host: &'a str,
    data: &'a Path,
    addr: SocketAddr,
    kills: u64,
}

impl Victim<'_> {
    fn command(&self) -> Command {
        let host = format!("host={}", self.host);
        start_command_with(self.data, &self.addr.to_string(), 2, &[&host, "segment_bytes=256KiB"])
    }

    /// Starts it and kills it a moment later, wherever it is then.
    fn start_and_kill(&mut self, chance: &mut Chance) {
        let mut child = self.command().spawn().unwrap();
        std::thread::sleep(chance.millis_below(RECOVERY_MILLIS));
        child.kill().unwrap();
        child.wait().unwrap();
        self.kills += 1;
    }

    fn start(&self) -> Node {
        Node::restart(|| self.command(), self.data)
    }
}

/// Waits for the moment of a kill.
fn wait_for_the_moment(ledger: &Ledger, chance: &mut Chance) {
    let bytes = || ledger.bytes.load(Ordering::Relaxed);
    let any_moment = chance.one_in(4);
    let wanted = if any_moment { 0 } else { chance.below(2 * BYTES_A_ROUND) };
    ledger.allow(wanted + BYTES_AHEAD);
    let wanted = bytes() + wanted;
    while bytes() < wanted && ledger.goes_on() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(chance.millis_below(50));
}

/// Chance may have left something out in a short run.
fn wait_until_everything_was_done(ledger: &Ledger, operator: &Mutex<Operator>) {
    let is_missing = || {
        let done = &operator.lock().unwrap().done;
        done.created.min(done.deleted).min(done.trims).min(ledger.commits.load(Ordering::Relaxed)) == 0
    };
    while ledger.goes_on() && is_missing() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills it so often, and verifies each time. Returns the last node.
fn rounds(
    victim: &mut Victim<'_>,
    mut node: Node,
    rounds: u64,
    ledger: &Ledger,
    operator: &Mutex<Operator>,
    chance: &mut Chance,
) -> Node {
    for round in 0..rounds {
        wait_for_the_moment(ledger, chance);
        let sure = ledger.sure();
        node.kill();
        victim.kills += 1;
        // Every third round at least once.
        for _ in 0..chance.below(2) + u64::from(round % 3 == 2) {
            victim.start_and_kill(chance);
        }
        if chance.one_in(4) {
            assert_checks(victim.data, "a kill leaves no damage");
        }
        node = victim.start();
        assert!(ledger.goes_on(), "somebody failed");
        verify::verify(node.addr, ledger, &mut operator.lock().unwrap(), &sure, chance);
        if round % 25 == 24 {
            let records = ledger.records.load(Ordering::Relaxed);
            eprintln!("round {}: {} kills, {records} records", round + 1, victim.kills);
        }
    }
    node
}

/// How often each shard's journal has begun a file: the highest number of a use in its files' headers.
fn journal_uses(data: &Path, shard: usize) -> u64 {
    let folder = data.join(format!("shard-{shard:02}/journal"));
    let number = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        u64::from_le_bytes(bytes[32..40].try_into().unwrap())
    };
    std::fs::read_dir(folder).unwrap().map(|entry| number(entry.unwrap().path())).max().unwrap()
}

/// Nothing is left of deleted topics but what is still being deleted.
fn wait_until_deleted_topics_are_gone(data: &Path, live: usize) {
    let stored = |shard: &str| std::fs::read_dir(data.join(shard).join("t")).unwrap().count();
    for _ in 0..600 {
        // The small topics that are there, and `load`.
        if stored("shard-00").max(stored("shard-01")) <= live + 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("deleted topics keep their files for ever");
}

fn campaign(host: &str, count: u64, mut chance: Chance) {
    let directory = Data(Some(tempfile::tempdir().unwrap()));
    let data = directory.path();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut victim = Victim { host, data: &data, addr: any, kills: 0 };
    // Killed while it is formatted, too.
    (0..chance.below(3)).for_each(|_| victim.start_and_kill(&mut chance));
    let node = victim.start();
    victim.addr = node.addr;
    let ledger = Ledger::new(chance.next());
    let operator = Mutex::new(Operator::new(node.addr, chance.fork()));
    operator.lock().unwrap().admin.create_topic("load", PARTITIONS as u32, &[]).unwrap();
    let addr = node.addr;
    let node = std::thread::scope(|scope| {
        let at_end = StopAtEnd(&ledger);
        let (ledger, operator) = (&ledger, &operator);
        for number in 0..WRITERS {
            let chance = chance.fork();
            scope.spawn(move || work(ledger, || writer::write(number, addr, ledger, chance)));
        }
        let (of_reader, of_operator) = (chance.fork(), chance.fork());
        scope.spawn(move || work(ledger, || reader::read(addr, ledger, of_reader)));
        scope.spawn(move || work(ledger, || operator::operate(operator, ledger, of_operator)));
        let node = rounds(&mut victim, node, count, ledger, operator, &mut chance);
        ledger.allow(BYTES_AHEAD);
        wait_until_everything_was_done(ledger, operator);
        drop(at_end);
        node
    });
    let operator = &mut operator.into_inner().unwrap();
    let sure = ledger.sure();
    verify::verify(addr, &ledger, operator, &sure, &mut chance);
    wait_until_deleted_topics_are_gone(&data, operator.topics.len());
    node.kill();
    assert_checks(&data, "the last kill leaves no damage");
    let node = victim.start();
    verify::verify(addr, &ledger, operator, &sure, &mut chance);
    node.kill();
    report(&victim, &ledger, operator, count);
}

/// What happened; what never did was not tried.
fn report(victim: &Victim<'_>, ledger: &Ledger, operator: &Operator, rounds: u64) {
    let uses = [0, 1].map(|shard| journal_uses(victim.data, shard));
    let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let (records, bytes, commits) = (count(&ledger.records), count(&ledger.bytes), count(&ledger.commits));
    let done = &operator.done;
    eprintln!(
        "{}: {rounds} rounds, {} kills, {records} records of {} MiB, {commits} commits, {done:?}, journal files \
         begun: {uses:?}",
        victim.host,
        victim.kills,
        bytes >> 20,
    );
    assert!(victim.kills > rounds, "it was killed while it recovered");
    assert!(uses.iter().all(|uses| *uses > 8), "each journal has turned: {uses:?}");
}

#[test]
fn everything_acked_survives_kill_9_under_load_in_order_and_once() {
    let mut chance = Chance::of_run("kill -9", "FLUMEN_KILL_SEED");
    let rounds = std::env::var("FLUMEN_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    for host in HOSTS {
        campaign(host, rounds, chance.fork());
    }
}
