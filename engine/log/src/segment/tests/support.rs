//! What the tests share: batches, runs of the simulated machine, small settings. Everything comes from a seed.

use crate::RollLimits;
use crate::segment::{BatchRef, OpenFiles, ReadBudget, SegmentDamage, Segments, SegmentsSpec, Visitor};
use bytes::Bytes;
use flumen_io::mem::{MemHost, MemMachine, MemWorld};
use flumen_io::{Host, Machine};
use flumen_model::batch::{BatchBuilder, Compression, assign};
use flumen_model::{Offset, UnixMillis};
use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc;

pub(super) const DIR: &str = "/data/t/topic/0";
pub(super) const SEED: u32 = 0x5eed;

/// Rolls never by time and at `segment_bytes`.
pub(super) fn roll(segment_bytes: u64) -> RollLimits {
    RollLimits { segment_bytes, segment_ms: u64::MAX }
}

/// A small splitmix: tests choose by it and by nothing else.
#[derive(Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// A batch of `records` records whose values have `value_bytes` bytes that differ from batch to batch.
pub(super) fn batch(
    index: u64,
    base_offset: u64,
    records: u64,
    value_bytes: usize,
    timestamp: i64,
) -> BatchRef {
    let mut builder = BatchBuilder::new(4 << 20, Compression::None).expect("no codec is needed");
    let mut chance = Chance(index ^ 0xabcd);
    for _ in 0..records {
        let mut value: Vec<u8> =
            (0..value_bytes.div_ceil(8)).flat_map(|_| chance.next().to_le_bytes()).collect();
        value.truncate(value_bytes);
        builder.append(UnixMillis(timestamp), None, Some(&value), &[]).expect("fits");
    }
    let mut bytes = builder.finish().to_vec();
    let term = 1 + (index / 50) as u32;
    assign(&mut bytes, Offset(base_offset), term);
    BatchRef {
        index,
        term,
        base_offset,
        last_offset: base_offset + records - 1,
        max_timestamp: timestamp,
        bytes: Bytes::from(bytes),
    }
}

/// Batches of all sizes, dense but for a gap now and then when `gaps`.
pub(super) fn batches(seed: u64, count: u64, value_bytes_max: u64, gaps: bool) -> Vec<BatchRef> {
    let mut chance = Chance(seed);
    let mut offset = 0;
    let mut all = Vec::new();
    for i in 0..count {
        let value_bytes = match chance.below(10) {
            0 => chance.below(value_bytes_max * 8),
            1..=4 => chance.below(64),
            _ => chance.below(value_bytes_max),
        };
        let timestamp = 1_000_000 + i as i64 * 10 + chance.below(200) as i64 - 100;
        // Raft entries that are no batches lie between some.
        let index = i * 2 + 1 + chance.below(2);
        let one = batch(index, offset, 1 + chance.below(4), value_bytes as usize, timestamp);
        offset = one.last_offset + 1;
        if gaps && chance.below(20) == 0 {
            offset += chance.below(1000);
        }
        all.push(one);
    }
    all
}

thread_local! {
    static WORLD: RefCell<Option<MemWorld>> = const { RefCell::new(None) };
}

/// The world in which the running main lives: a main is made on another core, so it cannot bring it along.
pub(super) fn outside() -> MemWorld {
    WORLD.with_borrow(|world| world.clone().expect("a main is running"))
}

/// Runs one main to its end and returns what it made.
pub(super) fn run<T, M, F>(world: &MemWorld, seed: u64, main: M) -> T
where
    T: Send + 'static,
    M: FnOnce(MemHost) -> F + Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (tx, rx) = mpsc::channel();
    WORLD.set(Some(world.clone()));
    let main = move |host: MemHost| async move {
        tx.send(main(host).await).expect("the test waits");
    };
    MemMachine::new(world.clone(), seed).poll_budget(50_000_000).run(vec![main]).expect("the run ends");
    rx.recv().expect("the main ran to its end")
}

pub(super) fn spec_at<H: Host>(dir: &str) -> SegmentsSpec<H> {
    // Few, so that files are closed and opened all the time.
    SegmentsSpec { dir: PathBuf::from(dir), seed: SEED, open_files: Rc::new(OpenFiles::new(3)) }
}

pub(super) fn spec<H: Host>() -> SegmentsSpec<H> {
    spec_at(DIR)
}

pub(super) fn empty<H: Host>() -> Segments<H> {
    Segments::empty(spec())
}

pub(super) fn budget() -> ReadBudget {
    ReadBudget::new(512 * 1024, 128 * 1024)
}

/// What a check found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) damages: Vec<SegmentDamage>,
    pub(super) lost: Vec<(u64, u64)>,
    pub(super) gaps: Vec<(u64, u64)>,
    pub(super) read_bytes: usize,
}

impl Visitor for Found {
    fn damaged(&mut self, damage: SegmentDamage) {
        self.damages.push(damage);
    }

    fn lost(&mut self, from: Offset, to: Offset) {
        self.lost.push((from.0, to.0));
    }

    fn gap(&mut self, from: Offset, to: Offset) {
        self.gaps.push((from.0, to.0));
    }

    fn read(&mut self, bytes: usize) -> std::time::Duration {
        self.read_bytes += bytes;
        std::time::Duration::ZERO
    }
}

/// Checks a read against the batches that were pushed: the right ones, whole, as many as fit.
pub(super) fn check_read(all: &[BatchRef], from: u64, end: u64, bytes_max: usize, got: &[Bytes]) {
    let first = all.partition_point(|batch| batch.last_offset < from);
    let mut expected = all[first..].iter().take_while(|batch| batch.last_offset < end).peekable();
    let got: Vec<u8> = got.iter().flat_map(|run| run.iter().copied()).collect();
    assert_eq!(
        got.is_empty(),
        expected.peek().is_none(),
        "from {from} to {end}: something exactly when there is"
    );
    let mut at = 0;
    while at < got.len() {
        let batch = expected.next().expect("no more than there is");
        assert!(
            got[at..].starts_with(&batch.bytes),
            "from {from}: the batch at {} comes next",
            batch.base_offset
        );
        at += batch.bytes.len();
        assert!(at <= bytes_max || at == batch.bytes.len(), "one batch or within the limit");
    }
}

/// Reads everything from `from` on and checks each part.
pub(super) async fn read_all<H: Host>(
    host: &H,
    segments: &Segments<H>,
    all: &[BatchRef],
    from: u64,
    bytes_max: usize,
) {
    let end = segments.end_offset();
    let mut next = from;
    while next < end.0 {
        let got =
            segments.read(host, &budget(), Offset(next), end, bytes_max).await.expect("everything is intact");
        check_read(all, next, end.0, bytes_max, &got);
        if got.is_empty() {
            break;
        }
        let mut bytes: usize = got.iter().map(Bytes::len).sum();
        let mut at = all.partition_point(|batch| batch.last_offset < next);
        while bytes > 0 {
            bytes -= all[at].bytes.len();
            next = all[at].last_offset + 1;
            at += 1;
        }
    }
    let last = all.iter().rfind(|batch| batch.last_offset < end.0).map_or(0, |batch| batch.last_offset + 1);
    assert!(next >= last.min(end.0), "all was read, up to {last}, not {next}");
}
