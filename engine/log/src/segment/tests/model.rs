//! The model test: random pushes, spreads, evictions, reads, trims, checkpoints and crashes that lose unsynced
//! sectors and names, against a plain list of batches. No block is ever written twice in one life.

use super::recorder::Recorder;
use super::support::{Chance, DIR, Found, batches, budget, check_read, read_all, roll, spec};
use crate::segment::files::{FileKind, path};
use crate::segment::index_file::block_position;
use crate::segment::{BatchRef, Segments, SegmentsState};
use bytes::Bytes;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_io::{Host, Machine};
use flumen_model::Offset;
use std::path::Path;
use std::sync::mpsc::{self, Sender};

/// What survives a crash beside the disk: what the journal would hold.
#[derive(Clone, Default)]
struct Journal {
    checkpoint: Option<Bytes>,
    /// Batches pushed and log start, as far as they were told.
    pushed: usize,
    log_start: u64,
    finished: bool,
}

struct Life {
    all: Vec<BatchRef>,
    journal: Journal,
    chance: Chance,
    segment_bytes: u64,
    steps: u64,
    tell: Sender<Journal>,
}

impl Life {
    async fn live(mut self, host: Recorder) {
        let segments = self.wake(&host);
        segments.trim(&host, Offset(self.journal.log_start)).await.expect("boot");
        segments.remove_orphans(&host).await.expect("boot");
        let covered = segments.state().covered_index();
        let replay = self.all.partition_point(|batch| batch.index <= covered);
        assert!(replay <= self.journal.pushed, "a checkpoint holds nothing that was not pushed");
        for batch in &self.all[replay..self.journal.pushed] {
            segments.push(batch.clone());
        }
        for _ in 0..self.steps {
            self.step(&host, &segments).await;
            host.yield_now().await;
        }
        self.check(&host, &segments).await;
        self.journal.finished = true;
        self.tell();
    }

    fn wake(&self, host: &Recorder) -> Segments<Recorder> {
        match &self.journal.checkpoint {
            None => Segments::empty(spec()),
            Some(bytes) => {
                let state = SegmentsState::decode(bytes.clone()).expect("a checkpoint is intact");
                assert_eq!(state.encode(), *bytes);
                protect(host, &state);
                Segments::restore(spec(), &state)
            }
        }
    }

    fn tell(&self) {
        self.tell.send(self.journal.clone()).expect("the test waits");
    }

    async fn step(&mut self, host: &Recorder, segments: &Segments<Recorder>) {
        let segment_bytes = self.segment_bytes;
        match self.chance.below(12) {
            0..=4 => {
                let until = (self.journal.pushed + 1 + self.chance.below(20) as usize).min(self.all.len());
                for batch in &self.all[self.journal.pushed..until] {
                    segments.push(batch.clone());
                }
                self.journal.pushed = until;
                self.tell();
            }
            5 => drop(segments.spread(host, false, roll(segment_bytes)).await.expect("space")),
            6 => drop(segments.spread(host, true, roll(segment_bytes)).await.expect("space")),
            7 => {
                segments.evict(self.chance.below(200_000) as usize);
            }
            8 => self.checkpoint(host, segments).await,
            9 if self.chance.below(4) == 0 => {
                let span = segments.end_offset().0 - self.journal.log_start;
                let all_of_it = self.chance.below(6) == 0;
                let by = if all_of_it { span } else { self.chance.below(span / 2 + 1) };
                self.journal.log_start += by;
                self.tell();
                segments.trim(host, Offset(self.journal.log_start)).await.expect("deletes");
            }
            _ => self.read(host, segments).await,
        }
    }

    async fn checkpoint(&mut self, host: &Recorder, segments: &Segments<Recorder>) {
        segments.spread(host, true, roll(self.segment_bytes)).await.expect("space");
        let state = segments.state().encode();
        segments.sync(host).await.expect("a sound disk");
        self.journal.checkpoint = Some(state);
        self.tell();
    }

    async fn read(&mut self, host: &Recorder, segments: &Segments<Recorder>) {
        let end = segments.end_offset().0;
        let from = self.journal.log_start + self.chance.below(end - self.journal.log_start + 1);
        let to = from + self.chance.below(end - from + 1);
        let bytes_max = self.chance.below(200_000) as usize;
        let got = segments.read(host, &budget(), Offset(from), Offset(to), bytes_max).await;
        check_read(
            &self.all[..self.journal.pushed],
            from,
            to,
            bytes_max,
            &got.expect("everything is intact"),
        );
    }

    async fn check(&self, host: &Recorder, segments: &Segments<Recorder>) {
        segments.evict(usize::MAX);
        read_all(host, segments, &self.all[..self.journal.pushed], self.journal.log_start, 100_000).await;
        let mut found = Found::default();
        segments.verify(host, &budget(), &mut found).await;
        assert_eq!(found.damages, [], "nothing is damaged");
    }
}

/// What a checkpoint says is on disk is never written again.
fn protect(host: &Recorder, state: &SegmentsState) {
    let dir = Path::new(DIR);
    for sealed in &state.sealed {
        host.protect(path(dir, sealed.base_offset, FileKind::Log), u64::MAX);
        host.protect(path(dir, sealed.base_offset, FileKind::Index), u64::MAX);
    }
    if let Some(active) = &state.active {
        let indexed = if active.index_blocks > 0 { block_position(active.index_blocks) } else { 0 };
        host.protect(path(dir, active.base_offset, FileKind::Log), active.spread);
        host.protect(path(dir, active.base_offset, FileKind::Index), indexed);
    }
}

fn survives(seed: u64) {
    let world = MemWorld::new();
    let mut chance = Chance(seed);
    let all = batches(seed, 1500, 1500, seed.is_multiple_of(3));
    let segment_bytes = [30_000, 150_000, 512 * 1024, 64 << 20][chance.below(4) as usize];
    let mut journal = Journal::default();
    for life in 0..6 {
        let (tell, told) = mpsc::channel();
        let life_chance = Chance(chance.next());
        let is_last = life == 5;
        // All but the last one are killed.
        let steps = if is_last { 40 } else { u64::MAX };
        let one = Life {
            all: all.clone(),
            journal: journal.clone(),
            chance: life_chance,
            segment_bytes,
            steps,
            tell,
        };
        let mut machine = MemMachine::new(world.clone(), chance.next()).poll_budget(5_000_000);
        if !is_last {
            machine = machine.stop_after_polls(chance.below(500));
        }
        machine.run(vec![move |host| one.live(Recorder::new(host))]).expect("no deadlock");
        journal = told.try_iter().last().unwrap_or(journal);
        assert!(!is_last || journal.finished);
        journal.finished = false;
        world.crash(chance.next());
    }
}

#[test]
fn what_was_pushed_is_read_back_through_crashes_that_lose_unsynced_sectors() {
    let seeds = std::env::var("FLUMEN_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(24);
    for seed in 0..seeds {
        survives(seed);
    }
}

#[test]
fn spreading_again_after_a_crash_makes_byte_identical_files() {
    let all = batches(11, 800, 3000, false);
    let calm = MemWorld::new();
    spread_all(&calm, all.clone(), None, 1, None);
    for seed in 0..10 {
        let world = MemWorld::new();
        let checkpoint = spread_all(&world, all.clone(), None, seed, Some(300));
        world.crash(seed);
        spread_all(&world, all.clone(), checkpoint, seed + 100, None);
        assert_eq!(files(&world), files(&calm), "seed {seed}");
    }
}

fn files(world: &MemWorld) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let read = |(path, _): (std::path::PathBuf, u64)| {
        let bytes = world.read_file(&path).expect("listed");
        (path, bytes)
    };
    world.files().into_iter().map(read).collect()
}

/// Pushes and spreads everything; checkpoints every 100 batches; ends after `stop_at` polls.
fn spread_all(
    world: &MemWorld,
    all: Vec<BatchRef>,
    checkpoint: Option<Bytes>,
    seed: u64,
    stop_at: Option<u64>,
) -> Option<Bytes> {
    let (tell, told) = mpsc::channel();
    let from = checkpoint.clone();
    let main = move |host| async move {
        let segments = match from {
            None => Segments::empty(spec()),
            Some(bytes) => Segments::restore(spec(), &SegmentsState::decode(bytes).expect("intact")),
        };
        let covered = segments.state().covered_index();
        for (i, batch) in all.iter().enumerate().filter(|(_, batch)| batch.index > covered) {
            segments.push(batch.clone());
            segments.spread(&host, false, roll(200_000)).await.expect("space");
            if i % 100 == 99 {
                segments.spread(&host, true, roll(200_000)).await.expect("space");
                let state = segments.state().encode();
                segments.sync(&host).await.expect("a sound disk");
                tell.send(state).expect("the test waits");
            }
        }
    };
    let mut machine = MemMachine::new(world.clone(), seed);
    if let Some(polls) = stop_at {
        machine = machine.stop_after_polls(polls);
    }
    machine.run(vec![main]).expect("ends");
    told.try_iter().last().or(checkpoint)
}
