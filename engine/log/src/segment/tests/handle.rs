//! What the handle answers without a disk, and that nothing costs nothing.

use super::support::{Chance, batch, batches, budget, check_read, empty, read_all, roll, run, spec, spec_at};
use crate::segment::{Segments, SegmentsState, fuzz_index, fuzz_state};
use bytes::Bytes;
use flumen_io::mem::{MemHost, MemWorld};
use flumen_model::{Code, Offset, UnixMillis};
use proptest::prelude::*;

#[test]
fn an_empty_partition_is_small_and_has_no_file() {
    assert!(size_of::<Segments<MemHost>>() < 512, "{} bytes", size_of::<Segments<MemHost>>());
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = empty();
        let done = segments.spread(&host, true, roll(1 << 20)).await.expect("nothing to do");
        assert_eq!(done.bytes, 0);
        segments.sync(&host).await.expect("nothing to do");
        assert_eq!(segments.state().encode().len(), 44, "its checkpoint is small too");
        assert_eq!((segments.start_offset(), segments.end_offset()), (Offset(0), Offset(0)));
        assert_eq!(segments.max_timestamp(), None);
    });
    assert!(world.files().is_empty());
}

#[test]
fn less_than_a_block_stays_in_memory_and_in_the_checkpoint() {
    let world = MemWorld::new();
    let all = vec![batch(3, 0, 2, 700, 5), batch(4, 2, 1, 900, 6)];
    let pushed = all.clone();
    let state = run(&world, 1, move |host| async move {
        let segments = empty();
        pushed.into_iter().for_each(|batch| segments.push(batch));
        segments.spread(&host, true, roll(1 << 20)).await.expect("no I/O");
        assert_eq!(segments.evict(usize::MAX), 2449, "the tail is kept beside the cache");
        assert_eq!(segments.cached_bytes(), 0);
        segments.sync(&host).await.expect("no I/O");
        segments.state().encode()
    });
    assert!(world.files().is_empty(), "no file and no directory");
    run(&world, 2, move |host| async move {
        let segments = Segments::restore(spec(), &SegmentsState::decode(state).expect("intact"));
        read_all(&host, &segments, &all, 0, 1).await;
        assert_eq!(segments.unspread_bytes(), 2449);
        assert_eq!(segments.covered(), (4, 1));
    });
}

#[test]
fn nothing_is_spread_before_a_chunk_unless_forced() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = empty();
        segments.push(batch(1, 0, 1, 60_000, 0));
        assert_eq!(segments.spread(&host, false, roll(1 << 20)).await.expect("space").bytes, 0);
        segments.push(batch(2, 1, 1, 10_000, 0));
        let done = segments.spread(&host, false, roll(1 << 20)).await.expect("space");
        assert_eq!(done.bytes, 17 * 4096);
        assert!(segments.unspread_bytes() < 4096);
        segments.push(batch(3, 2, 1, 5_000, 0));
        assert_eq!(segments.spread(&host, true, roll(1 << 20)).await.expect("space").bytes, 4096);
    });
}

#[test]
fn the_cache_serves_the_end_of_the_log_without_copies() {
    let world = MemWorld::new();
    let all = batches(7, 60, 3000, true);
    run(&world, 1, move |host| async move {
        let segments = empty();
        all.iter().for_each(|batch| segments.push(batch.clone()));
        let end = segments.end_offset();
        let mut out = Vec::new();
        assert!(segments.cached(Offset(0), end, 1, &mut out), "all is in memory");
        assert_eq!(out.len(), 1, "one batch although it is larger");
        assert_eq!(out[0].as_ptr(), all[0].bytes.as_ptr(), "shared, not copied");
        segments.spread(&host, true, roll(1 << 20)).await.expect("space");
        let half: usize = all[..30].iter().map(|batch| batch.bytes.len()).sum();
        assert_eq!(segments.evict(half), half);
        for from in 0..end.0 {
            out.clear();
            let cached = segments.cached(Offset(from), end, 9000, &mut out);
            assert_eq!(cached, from > all[29].last_offset, "at {from}");
            if cached {
                check_read(&all, from, end.0, 9000, &out);
            }
        }
        out.clear();
        assert!(
            segments.cached(end, end, 100, &mut out) && out.is_empty(),
            "nothing at the end is an answer"
        );
    });
}

#[test]
fn pending_batches_are_never_evicted() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = empty();
        segments.push(batch(1, 0, 1, 9000, 0));
        assert_eq!(segments.evict(usize::MAX), 0);
        segments.spread(&host, true, roll(1 << 20)).await.expect("space");
        segments.push(batch(2, 1, 1, 10, 0));
        assert!(segments.evict(usize::MAX) > 9000);
        assert!(segments.cached_bytes() > 0, "the second one is only here");
    });
}

#[test]
fn offsets_that_are_not_stored_are_out_of_range() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = Segments::empty_at(spec(), Offset(100));
        segments.push(batch(1, 120, 2, 10, 0));
        let read = async |from| segments.read(&host, &budget(), Offset(from), Offset(122), 1000).await;
        for from in [0, 99, 123] {
            assert_eq!(read(from).await.expect_err("not stored").code, Code::OffsetOutOfRange);
        }
        for from in [100, 119, 120, 121] {
            assert_eq!(read(from).await.expect("stored, or a gap before it").len(), 1);
        }
        assert!(read(122).await.expect("the end").is_empty());
        assert_eq!(segments.start_offset(), Offset(120));
    });
}

#[test]
fn the_high_watermark_hides_what_is_behind_it() {
    let world = MemWorld::new();
    let all = batches(3, 200, 4000, true);
    run(&world, 1, move |host| async move {
        let segments = empty();
        all.iter().for_each(|batch| segments.push(batch.clone()));
        segments.spread(&host, true, roll(128 * 1024)).await.expect("space");
        segments.evict(usize::MAX);
        let mut chance = Chance(4);
        for _ in 0..200 {
            let end = chance.below(segments.end_offset().0 + 1);
            let from = chance.below(end + 1);
            let bytes_max = chance.below(300_000) as usize;
            let got =
                segments.read(&host, &budget(), Offset(from), Offset(end), bytes_max).await.expect("intact");
            check_read(&all, from, end, bytes_max, &got);
        }
    });
}

#[test]
fn the_term_of_an_index_is_known_where_batches_tell() {
    let segments: Segments<MemHost> = empty();
    let all = batches(3, 120, 10, false);
    all.iter().for_each(|batch| segments.push(batch.clone()));
    let state = SegmentsState::decode(segments.state().encode()).expect("intact");
    let restored: Segments<MemHost> = Segments::restore(spec(), &state);
    for batch in &all {
        assert_eq!(restored.term(batch.index), Some(batch.term));
    }
    assert_eq!(restored.term(all.last().expect("many").index + 1), None);
}

#[test]
fn a_segment_rolls_by_size_and_by_age_and_never_within_a_batch() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = empty();
        for i in 0..20 {
            segments.push(batch(i + 1, i, 1, 30_000, 1000 * i as i64));
        }
        let by_size = segments.spread(&host, true, roll(100_000)).await.expect("space");
        assert_eq!((by_size.sealed, segments.segments()), (6, 7), "three batches each");
        let segments = Segments::empty(spec_at("/data/t/aged/0"));
        for i in 0..20 {
            segments.push(batch(i + 1, i, 1, 10, 1000 * i as i64));
        }
        let limits = crate::RollLimits { segment_bytes: 1 << 20, segment_ms: 4000 };
        let by_age = segments.spread(&host, true, limits).await.expect("space");
        assert_eq!((by_age.sealed, segments.segments()), (3, 4), "five seconds each");
    });
}

#[test]
fn retention_names_whole_segments() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = empty();
        let now = UnixMillis(1_000_000);
        assert_eq!(segments.expired(now, Some(1), Some(1)), None, "nothing is stored");
        for i in 0..10 {
            segments.push(batch(i + 1, i, 1, 40_000, 1000 * i as i64));
        }
        segments.spread(&host, true, roll(100_000)).await.expect("space");
        assert_eq!(segments.segments(), 5);
        assert_eq!(segments.expired(now, None, None), None);
        let by_time = |now, ms| segments.expired(UnixMillis(now), Some(ms), None);
        assert_eq!(by_time(10_000, 20_000), None);
        assert_eq!(
            by_time(10_000, 7_000),
            Some(Offset(2)),
            "times 0 to 2,000 are too old, a segment has two"
        );
        assert_eq!(by_time(10_000, 6_000), Some(Offset(4)));
        assert_eq!(
            by_time(1_000_000, 1_000),
            Some(Offset(10)),
            "everything is too old, the active one included"
        );
        let by_size = |bytes| segments.expired(now, None, Some(bytes));
        assert_eq!(by_size(segments.stored_bytes()), None);
        assert_eq!(by_size(320_000), Some(Offset(2)), "as long as so much is left");
        assert_eq!(by_size(0), Some(Offset(8)), "never the active one");
        segments.push(batch(11, 10, 1, 10, 999_999));
        assert_eq!(by_time(1_000_000, 1_000), Some(Offset(8)), "something young keeps the active one");
    });
}

#[test]
fn records_without_timestamps_never_expire_by_time() {
    let segments: Segments<MemHost> = empty();
    segments.push(batch(1, 0, 1, 10, -1));
    assert_eq!(segments.expired(UnixMillis(i64::MAX), Some(0), None), None);
}

proptest! {
    #[test]
    fn parsing_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        fuzz_state(&bytes);
        fuzz_index(&bytes);
    }

    #[test]
    fn a_damaged_state_never_panics(seed in any::<u64>(), at in any::<usize>(), mask in 1_u8.., cut in any::<usize>()) {
        let segments: Segments<MemHost> = empty();
        batches(seed, 5, 500, true).into_iter().for_each(|batch| segments.push(batch));
        let mut bytes = segments.state().encode().to_vec();
        fuzz_state(&bytes);
        let at = at % bytes.len();
        bytes[at] ^= mask;
        fuzz_state(&bytes);
        bytes.truncate(cut % bytes.len());
        prop_assert!(SegmentsState::decode(Bytes::from(bytes)).is_err(), "a cut state is refused");
    }
}
