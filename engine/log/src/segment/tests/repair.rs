//! Rot that an operator gives up: exactly the damaged records go, and everything else is served as it was.

use super::support::{DIR, Found, batch, batches, budget, check_read, outside, roll, run, spec};
use crate::segment::{BatchRef, Segments, SegmentsState};
use bytes::Bytes;
use flumen_io::mem::{MemHost, MemWorld};
use flumen_model::batch::Batches;
use flumen_model::{Code, Offset, UnixMillis};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const CHUNK: u64 = 65_536;

/// Stores the batches in a new world; the state. The last segment stays active.
fn stored(world: &MemWorld, all: &[BatchRef], segment_bytes: u64) -> Bytes {
    let all = all.to_vec();
    run(world, 1, move |host| async move {
        let segments = Segments::empty(spec());
        all.into_iter().for_each(|batch| segments.push(batch));
        segments.spread(&host, true, roll(segment_bytes)).await.expect("space");
        let state = segments.state().encode();
        segments.sync(&host).await.expect("a sound disk");
        state
    })
}

fn restore(state: &Bytes) -> Segments<MemHost> {
    Segments::restore(spec(), &SegmentsState::decode(state.clone()).expect("intact"))
}

fn file(base_offset: u64, extension: &str) -> PathBuf {
    Path::new(DIR).join(format!("{base_offset:020}.{extension}"))
}

/// Reads everything from the start as a consumer does; the batches' bytes, one after the other.
async fn all_bytes(host: &MemHost, segments: &Segments<MemHost>, bytes_max: usize) -> Vec<u8> {
    let (mut next, end) = (segments.start_offset(), segments.end_offset());
    let mut out = Vec::new();
    while segments.skip_lost(next) < end {
        let runs = segments.read(host, &budget(), next, end, bytes_max).await.expect("what is left is whole");
        let last = runs.last().and_then(|run| Batches::new(run).last());
        let behind = last.expect("a reader never stands still before the end").next_offset();
        assert!(behind > next);
        next = behind;
        runs.iter().for_each(|run| out.extend_from_slice(run));
    }
    out
}

/// The batches outside of ranges; each lies wholly outside or wholly inside.
fn outside_of(all: &[BatchRef], lost: &[(Offset, Offset)]) -> Vec<u8> {
    let is_kept = |batch: &&BatchRef| {
        let (first, last) = (batch.base_offset, batch.last_offset);
        lost.iter().all(|&(from, to)| {
            let inside = (from.0..to.0).contains(&first);
            assert_eq!(inside, (from.0..to.0).contains(&last), "a range ends between batches");
            !inside
        })
    };
    all.iter().filter(is_kept).flat_map(|batch| batch.bytes.iter().copied()).collect()
}

/// Repairs, and holds what is served then and after a restart against what was reported. The given up ranges.
async fn repair_and_look(host: &MemHost, state: &Bytes, all: &[BatchRef]) -> Vec<(Offset, Offset)> {
    let segments = restore(state);
    let mut before = Found::default();
    segments.verify(host, &budget(), &mut before).await;
    let repaired = segments.repair(host, &budget(), Offset(0)).await.expect("space");
    assert_eq!(repaired.is_empty(), before.damages.is_empty(), "{:?}", before.damages);
    let expected = outside_of(all, &repaired.lost);
    assert!(all_bytes(host, &segments, 100_000).await == expected, "everything else is served");
    segments.sync(host).await.expect("a sound disk");

    let segments = restore(&segments.state().encode());
    assert!(all_bytes(host, &segments, 1).await == expected, "and after a restart");
    let mut after = Found::default();
    segments.verify(host, &budget(), &mut after).await;
    assert_eq!((after.damages, after.lost), (vec![], vec![]), "given up ranges are no damage");
    let again = segments.repair(host, &budget(), Offset(0)).await.expect("space");
    assert!(again.is_empty(), "there is nothing left to give up: {again:?}");

    // A crash may take the checkpoint back, not the indexes: then nothing damaged is served either.
    let segments = restore(state);
    for batch in all {
        let (from, end) = (Offset(batch.base_offset), segments.end_offset());
        match segments.read(host, &budget(), from, end, 1).await {
            Ok(got) => check_read(all, from.0, end.0, 1, &got),
            Err(error) => assert_eq!(error.code, Code::Corrupt),
        }
    }
    repaired.lost
}

#[test]
fn a_repair_gives_up_exactly_the_batches_that_touch_the_damaged_chunks() {
    let world = MemWorld::new();
    let all = batches(5, 600, 3000, true);
    let state = stored(&world, &all, 600_000);
    for chunk in [3, 4, 7] {
        world.corrupt(file(0, "log"), chunk * CHUNK + 1000, 4).expect("there");
    }
    run(&world, 2, move |host| async move {
        let lost = repair_and_look(&host, &state, &all).await;
        let mut end = 0;
        let touched = |chunk: u64, start: u64, end: u64| start < (chunk + 1) * CHUNK && end > chunk * CHUNK;
        let in_first = all.iter().take_while(|batch| {
            end += batch.bytes.len() as u64;
            end <= 600_000
        });
        let mut position = 0;
        for batch in in_first {
            let start = position;
            position += batch.bytes.len() as u64;
            let is_hit = [3, 4, 7].into_iter().any(|chunk| touched(chunk, start, position));
            let is_lost = lost.iter().any(|&(from, to)| (from.0..to.0).contains(&batch.base_offset));
            assert_eq!(is_lost, is_hit, "offset {}", batch.base_offset);
        }
        assert_eq!(lost.len(), 2, "two stretches: {lost:?}");
    });
}

#[test]
fn a_lookup_by_time_leaves_out_what_was_given_up() {
    let world = MemWorld::new();
    let all = batches(9, 500, 3000, true);
    let state = stored(&world, &all, 600_000);
    for chunk in [0, 2, 3, 6] {
        world.corrupt(file(0, "log"), chunk * CHUNK + 40, 4).expect("there");
    }
    run(&world, 2, move |host| async move {
        let segments = restore(&state);
        let lost = segments.repair(&host, &budget(), Offset(0)).await.expect("space").lost;
        look_up_all(&host, &segments, &all, &lost).await;
        // Intact again, it stays given up: what a reader sees does not depend on where it looks.
        for chunk in [0, 2, 3, 6] {
            outside().corrupt(file(0, "log"), chunk * CHUNK + 40, 4).expect("there");
        }
        look_up_all(&host, &segments, &all, &lost).await;
        assert!(all_bytes(&host, &segments, 100_000).await == outside_of(&all, &lost));
    });
}

async fn look_up_all(
    host: &MemHost,
    segments: &Segments<MemHost>,
    all: &[BatchRef],
    lost: &[(Offset, Offset)],
) {
    let is_kept =
        |batch: &&BatchRef| !lost.iter().any(|(from, to)| (from.0..to.0).contains(&batch.base_offset));
    let kept: Vec<&BatchRef> = all.iter().filter(is_kept).collect();
    assert!(kept.len() < all.len());
    for timestamp in (999_800..1_005_400).step_by(13) {
        let from = timestamp as u64 % 1_000;
        let found = segments.offset_for_time(host, &budget(), Offset(from), UnixMillis(timestamp)).await;
        let expected = kept.iter().find(|b| b.last_offset >= from && b.max_timestamp >= timestamp);
        let expected = expected.map(|b| (Offset(b.base_offset.max(from)), UnixMillis(b.max_timestamp)));
        assert_eq!(found.expect("intact"), expected, "time {timestamp} from {from}");
    }
}

#[test]
fn a_whole_segment_can_be_given_up_and_a_trim_forgets_it() {
    for cut_to in [0, 5_000] {
        let world = MemWorld::new();
        // The third segment begins behind a gap.
        let offset = |i: u64| if i < 42 { i } else { i + 100 };
        let all: Vec<BatchRef> = (0..80).map(|i| batch(i + 1, offset(i), 1, 7_000, 0)).collect();
        let state = stored(&world, &all, 150_000);
        world.cut(file(142, "log"), cut_to).expect("there");
        run(&world, 2, move |host| async move {
            let lost = repair_and_look(&host, &state, &all).await;
            assert_eq!(lost, [(Offset(142), Offset(163))]);
            let segments = restore(&state);
            segments.repair(&host, &budget(), Offset(0)).await.expect("space");
            assert_eq!(segments.skip_lost(Offset(42)), Offset(163), "no batch is between");
            segments.trim(&host, Offset(170)).await.expect("deletes");
            assert_eq!(segments.state(), SegmentsState::decode(segments.state().encode()).expect("sound"));
            assert_eq!(segments.skip_lost(Offset(150)), Offset(150), "it is forgotten");
        });
    }
}

#[test]
fn the_end_of_the_active_segment_can_be_given_up_and_the_log_goes_on_behind_it() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..40).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
    let state = stored(&world, &all, 1 << 20);
    world.corrupt(file(0, "log"), 4 * CHUNK + 7, 1).expect("there");
    run(&world, 2, move |host| async move {
        let lost = repair_and_look(&host, &state, &all).await;
        assert_eq!(lost, [(Offset(37), Offset(40))], "the last chunk, with what of it was in memory");
        let segments = restore(&state);
        segments.repair(&host, &budget(), Offset(0)).await.expect("space");
        let end = segments.read(&host, &budget(), Offset(38), Offset(40), 1).await.expect("its end");
        assert!(end.is_empty(), "a reader in the lost end waits for what comes");
        let next = batch(41, 40, 1, 9_000, 0);
        segments.push(next.clone());
        segments.spread(&host, true, roll(1 << 20)).await.expect("a new segment");
        segments.evict(usize::MAX);
        let read = segments.read(&host, &budget(), Offset(38), Offset(41), 1).await.expect("stored");
        assert_eq!(read, [next.bytes]);
    });
}

#[test]
fn a_look_after_a_failed_read_names_the_first_offset_that_cannot_be_served() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..100).map(|i| batch(i + 1, i, 1, 4_000, 0)).collect();
    let state = stored(&world, &all, 10 << 20);
    for chunk in [2, 5] {
        world.corrupt(file(0, "log"), chunk * CHUNK, 1).expect("there");
    }
    run(&world, 3, move |host| async move {
        let segments = restore(&state);
        assert_eq!(segments.find_rot(&host, &budget(), Offset(0)).await, None, "nobody has met it yet");
        let error = segments.read(&host, &budget(), Offset(90), Offset(100), 1).await.expect_err("damaged");
        assert_eq!(error.code, Code::Corrupt);
        let rot = segments.find_rot(&host, &budget(), Offset(0)).await.expect("it is true");
        assert_eq!((rot.from, rot.damage.position), (Offset(32), 2 * CHUNK));
        assert_eq!(segments.find_rot(&host, &budget(), Offset(0)).await, None, "nobody has met it since");
        segments.read(&host, &budget(), Offset(90), Offset(100), 1).await.expect_err("damaged");
        let rot = segments.find_rot(&host, &budget(), Offset(70)).await.expect("behind the log start");
        assert_eq!(rot.from, Offset(80));
    });
}

#[test]
fn a_read_that_failed_only_then_is_no_damage() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..30).map(|i| batch(i + 1, i, 1, 4_000, 0)).collect();
    let state = stored(&world, &all, 10 << 20);
    run(&world, 3, move |host| async move {
        let segments = restore(&state);
        outside().fail_next(flumen_io::mem::DiskOp::Read, ".log");
        let error = segments.read(&host, &budget(), Offset(0), Offset(30), 1).await.expect_err("failed");
        assert_eq!(error.code, Code::Corrupt);
        assert_eq!(segments.find_rot(&host, &budget(), Offset(0)).await, None);
        segments.read(&host, &budget(), Offset(0), Offset(30), 1).await.expect("intact");
    });
}

#[test]
fn damage_in_data_and_index_of_one_segment_costs_no_more_than_their_chunks() {
    let world = MemWorld::new();
    let all = batches(21, 500, 3000, false);
    let state = stored(&world, &all, 900_000);
    world.corrupt(file(0, "log"), 5 * CHUNK + 9, 1).expect("there");
    // The header, and the entries of a damaged chunk, of an intact one and of the one where reading could go on.
    for position in [20, 4096 + 5 * 64 + 8, 4096 + 9 * 64 + 8, 4096 + 6 * 64 + 1] {
        world.corrupt(file(0, "idx"), position, 1).expect("there");
    }
    run(&world, 2, move |host| async move {
        let segments = restore(&state);
        segments.read(&host, &budget(), Offset(0), Offset(10), 1).await.expect_err("no index, no read");
        let rot = segments.find_rot(&host, &budget(), Offset(0)).await.expect("it is true");
        assert_eq!(rot.from, Offset(0), "without an index nothing is found");
        let lost = repair_and_look(&host, &state, &all).await;
        let mut position = 0;
        let hit = all.iter().filter(|batch| {
            let start = position;
            position += batch.bytes.len() as u64;
            position > 5 * CHUNK && start < 7 * CHUNK
        });
        let hit: Vec<u64> = hit.map(|batch| batch.base_offset).collect();
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].0.0, hit[0]);
        assert!(lost[0].1.0 > *hit.last().expect("some"));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn after_any_rot_and_a_repair_every_record_outside_of_the_reported_ranges_is_served(
        seed in 0u64..1000,
        segment_bytes in prop::sample::select(vec![200_000u64, 700_000, 64 << 20]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0u8..8), 1..6),
        cut in prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u64>())),
    ) {
        let world = MemWorld::new();
        let all = batches(seed, 400, 3000, seed % 2 == 0);
        let state = stored(&world, &all, segment_bytes);
        let files: Vec<(PathBuf, u64)> = world.files().into_iter().filter(|(_, size)| *size > 0).collect();
        if let Some((which, len)) = cut {
            let (path, size) = which.get(&files);
            world.cut(path, len % size).expect("there");
        }
        for (which, position, bit) in flips {
            let (path, _) = which.get(&files);
            let size = world.files().iter().find(|(other, _)| other == path).map_or(0, |found| found.1);
            if size > 0 {
                world.corrupt(path, position % size, 1 << bit).expect("there");
            }
        }
        run(&world, 2, move |host| async move {
            repair_and_look(&host, &state, &all).await;
        });
    }
}
