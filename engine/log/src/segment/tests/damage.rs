//! Rot, cut and missing files: reported with file and position, never served, and the rest unharmed.

use super::support::{
    DIR, Found, batch, batches, budget, check_read, empty, outside, read_all, roll, run, spec,
};
use crate::segment::{BatchRef, Segments, SegmentsState};
use bytes::Bytes;
use flumen_io::mem::{DiskOp, MemHost, MemWorld};
use flumen_model::{Code, Error, Offset};
use std::path::{Path, PathBuf};

/// Stores the batches in a new world and checkpoints them; the state.
fn stored(world: &MemWorld, all: &[BatchRef], segment_bytes: u64) -> Bytes {
    let all = all.to_vec();
    run(world, 1, move |host| async move {
        let segments = empty();
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

/// Reads all batch by batch: each is right, or an error. And what a check says.
async fn look_on(host: &MemHost, state: &Bytes, all: &[BatchRef]) -> (Vec<Error>, Found) {
    let segments = restore(state);
    let mut errors = Vec::new();
    for batch in all {
        let (from, end) = (Offset(batch.base_offset), segments.end_offset());
        match segments.read(host, &budget(), from, end, 1).await {
            Ok(got) => check_read(all, from.0, end.0, 1, &got),
            Err(error) => errors.push(error),
        }
    }
    let mut found = Found::default();
    segments.verify(host, &budget(), &mut found).await;
    (errors, found)
}

fn look(world: &MemWorld, state: &Bytes, all: &[BatchRef]) -> (Vec<Error>, Found) {
    let (state, all) = (state.clone(), all.to_vec());
    run(world, 2, move |host| async move { look_on(&host, &state, &all).await })
}

fn file(base_offset: u64, extension: &str) -> PathBuf {
    PathBuf::from(format!("{DIR}/{base_offset:020}.{extension}"))
}

#[test]
fn rot_in_any_byte_of_a_sealed_segment_is_reported_and_never_served() {
    let world = MemWorld::new();
    // Two segments, the first one sealed: two blocks with padding.
    let all: Vec<BatchRef> = (0..5).map(|i| batch(i + 1, i, 1, 1_000 + i as usize, i as i64)).collect();
    let state = stored(&world, &all, 4_500);
    assert_eq!(world.files(), [(file(0, "idx"), 3 * 4096), (file(0, "log"), 2 * 4096)]);
    run(&world, 2, move |host| async move {
        for (path, size) in outside().files() {
            for position in 0..size {
                outside().corrupt(&path, position, 1 << (position % 8)).expect("there");
                let mut found = Found::default();
                restore(&state).verify(&host, &budget(), &mut found).await;
                let damage = &found.damages[0];
                let near = damage.position <= position && position < damage.position + 65_536;
                assert!(damage.file == path && near, "{position} of {}: {damage:?}", path.display());
                let is_index = path == file(0, "idx");
                assert_eq!(found.lost, if is_index { vec![] } else { vec![(0, 4)] });
                let flip_back = || outside().corrupt(&path, position, 1 << (position % 8)).expect("there");
                if position % 16 != 0 {
                    flip_back();
                    continue;
                }
                let (errors, _) = look_on(&host, &state, &all).await;
                if is_index {
                    assert_eq!(errors, [], "the batches are intact");
                    let repaired = restore(&state).repair(&host, &budget(), Offset(0)).await.expect("space");
                    assert_eq!(repaired.lost, []);
                } else {
                    assert_eq!(errors.len(), 4, "nothing of the chunk is served");
                    assert!(errors.iter().all(|error| error.code == Code::Corrupt));
                    flip_back();
                }
                let (errors, found) = look_on(&host, &state, &all).await;
                assert_eq!((errors, found.damages), (vec![], vec![]), "{position} of {}", path.display());
            }
        }
    });
}

#[test]
fn rot_in_the_active_segment_is_reported_and_never_served() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..20).map(|i| batch(i + 1, i, 1, 7_000, i as i64)).collect();
    let state = stored(&world, &all, 1 << 20);
    let on_disk = 20 * (7_000 + 70) / 4096 * 4096;
    for position in (0..on_disk).step_by(509) {
        world.corrupt(file(0, "log"), position, 1).expect("there");
        let (errors, found) = look(&world, &state, &all);
        assert!(!errors.is_empty() && errors.iter().all(|error| error.code == Code::Corrupt), "{position}");
        assert!(errors.len() < all.len(), "the other chunks are served");
        assert_eq!(found.damages.len(), 1, "{position}: {:?}", found.damages);
        assert_eq!(found.damages[0].position, position / 65_536 * 65_536);
        world.corrupt(file(0, "log"), position, 1).expect("there");
    }
}

#[test]
fn damage_in_one_chunk_leaves_the_others_readable() {
    let world = MemWorld::new();
    let all = batches(5, 300, 3000, true);
    let state = stored(&world, &all, 10 << 20);
    world.corrupt(file(0, "log"), 200_000, 4).expect("there");
    let (errors, found) = look(&world, &state, &all);
    let hit = all.iter().scan(0, |end, batch| {
        let start = *end;
        *end += batch.bytes.len() as u64;
        Some(start < 4 * 65_536 && *end > 3 * 65_536)
    });
    assert_eq!(errors.len(), hit.filter(|&hit| hit).count(), "exactly the batches that touch the chunk");
    assert_eq!(found.damages.len(), 1, "{:?}", found.damages);
    assert_eq!(found.damages[0].position, 3 * 65_536);
    let message = &errors[0].message;
    assert!(message.contains(".log at byte 196608"), "{message}");
}

#[test]
fn a_read_ends_before_damage_and_the_next_one_fails() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..100).map(|i| batch(i + 1, i, 1, 4_000, 0)).collect();
    let state = stored(&world, &all, 10 << 20);
    world.corrupt(file(0, "log"), 2 * 65_536, 1).expect("there");
    run(&world, 3, move |host| async move {
        let segments = restore(&state);
        let end = segments.end_offset();
        let got = segments.read(&host, &budget(), Offset(0), end, 1 << 20).await.expect("up to the damage");
        check_read(&all, 0, end.0, 1 << 20, &got);
        let bytes: usize = got.iter().map(Bytes::len).sum();
        let next = (bytes / all[0].bytes.len()) as u64;
        assert_eq!(next, 32, "all whole batches of the two good chunks");
        let error = segments.read(&host, &budget(), Offset(next), end, 1).await.expect_err("damaged");
        assert_eq!(error.code, Code::Corrupt);
    });
}

#[test]
fn a_missing_or_short_file_is_damage_with_its_name_and_others_are_unharmed() {
    for cut_to in [None, Some(0), Some(4096), Some(70_000)] {
        let world = MemWorld::new();
        let all: Vec<BatchRef> = (0..60).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
        let state = stored(&world, &all, 150_000);
        let path = file(21, "log");
        match cut_to {
            Some(len) => world.cut(&path, len).expect("there"),
            None => remove(&world, &path),
        }
        let (errors, found) = look(&world, &state, &all);
        assert!(!found.damages.is_empty() && found.damages.iter().all(|damage| damage.file == path));
        assert!(
            !errors.is_empty()
                && errors.iter().all(|e| e.code == Code::Corrupt && e.message.contains("21.log"))
        );
        assert!(errors.len() <= 21, "one segment of three");
        if cut_to == Some(70_000) {
            assert!(errors.len() < 15, "the chunk before the cut is served: {}", errors.len());
        }
    }
}

fn remove(world: &MemWorld, path: &Path) {
    let path = path.to_owned();
    run(world, 9, move |host| async move {
        use flumen_io::Host;
        host.remove_file(&path).await.expect("there");
        host.sync_dir(path.parent().expect("a directory")).await.expect("there");
    });
}

#[test]
fn a_missing_index_of_a_sealed_segment_is_rebuilt_from_the_batches() {
    let world = MemWorld::new();
    let all = batches(21, 900, 3000, true);
    let state = stored(&world, &all, 600_000);
    let before: Vec<_> = world.files();
    let indexes: Vec<PathBuf> = before
        .iter()
        .map(|(path, _)| path.clone())
        .filter(|path| path.extension().is_some_and(|e| e == "idx"))
        .collect();
    assert!(indexes.len() > 2);
    indexes.iter().for_each(|path| remove(&world, path));
    let (errors, found) = look(&world, &state, &all);
    assert_eq!((errors, found.damages), (vec![], vec![]));
    assert_eq!(world.files(), before, "the indexes are there again, as large as before");
    world.crash(5);
    assert_eq!(world.files(), before, "durably");
}

#[test]
fn an_index_is_not_rebuilt_from_batches_that_are_damaged() {
    let world = MemWorld::new();
    let all = batches(21, 300, 3000, false);
    let state = stored(&world, &all, 600_000);
    remove(&world, &file(0, "idx"));
    // A batch's base offset: no checksum of its own covers it.
    let second = all[0].bytes.len() as u64;
    world.corrupt(file(0, "log"), second + 4, 0x40).expect("there");
    let (errors, found) = look(&world, &state, &all);
    assert!(!errors.is_empty() && !found.damages.is_empty());
    assert!(errors[0].message.contains(&format!(".log at byte {second}")), "{}", errors[0].message);
}

#[test]
fn a_missing_active_file_harms_no_later_batch() {
    for (what, len) in [("missing", None), ("short", Some(8192))] {
        let world = MemWorld::new();
        let old: Vec<BatchRef> = (0..30).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
        let state = stored(&world, &old, 1 << 20);
        match len {
            Some(len) => world.cut(file(0, "log"), len).expect("there"),
            None => remove(&world, &file(0, "log")),
        }
        run(&world, 3, move |host| async move {
            let segments = restore(&state);
            let new: Vec<BatchRef> = (30..90).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
            new.iter().for_each(|batch| segments.push(batch.clone()));
            segments.spread(&host, true, roll(1 << 20)).await.expect("new ones go to a new segment");
            segments.sync(&host).await.expect("a sound disk");
            segments.evict(usize::MAX);
            read_all(&host, &segments, &new, 30, 100_000).await;
            let lost = segments.read(&host, &budget(), Offset(0), Offset(90), 1).await.expect_err(what);
            assert_eq!(lost.code, Code::Corrupt);
            let mut found = Found::default();
            segments.verify(&host, &budget(), &mut found).await;
            assert!(found.damages.iter().all(|damage| damage.file == file(0, "log")), "{:?}", found.damages);
            assert!(!found.damages.is_empty(), "{what}");
        });
    }
}

#[test]
fn a_missing_or_damaged_index_of_the_active_segment_costs_nothing_but_its_end() {
    for rot_at in [None, Some(10), Some(4096 + 64 * 5 + 3)] {
        let world = MemWorld::new();
        let all: Vec<BatchRef> = (0..100).map(|i| batch(i + 1, i, 1, 60_000, i as i64)).collect();
        let state = stored(&world, &all, 1 << 30);
        match rot_at {
            None => remove(&world, &file(0, "idx")),
            Some(position) => world.corrupt(file(0, "idx"), position, 4).expect("there"),
        }
        run(&world, 3, move |host| async move {
            let segments = restore(&state);
            let mut found = Found::default();
            segments.verify(&host, &budget(), &mut found).await;
            assert!(found.damages.iter().all(|damage| damage.in_index) && !found.damages.is_empty());
            assert!(segments.state().active.is_some());
            read_all(&host, &segments, &all, 0, 300_000).await;
            assert!(segments.state().active.is_none(), "it was sealed for the index");
            let next = batch(101, 100, 1, 9_000, 0);
            segments.push(next.clone());
            segments.spread(&host, true, roll(1 << 30)).await.expect("a new segment");
            segments.evict(usize::MAX);
            let all = [all, vec![next]].concat();
            read_all(&host, &segments, &all, 0, 300_000).await;
            let mut found = Found::default();
            segments.verify(&host, &budget(), &mut found).await;
            assert_eq!((found.damages, found.lost), (vec![], vec![]));
        });
    }
}

#[test]
fn a_segment_of_another_partition_is_not_served() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..30).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
    let state = stored(&world, &all, 100_000);
    run(&world, 3, move |host| async move {
        let mut foreign = spec::<MemHost>();
        foreign.seed ^= 1;
        let segments = Segments::restore(foreign, &SegmentsState::decode(state).expect("intact"));
        let error = segments.read(&host, &budget(), Offset(0), Offset(30), 1).await.expect_err("foreign");
        assert!(error.message.contains("belongs to another"), "{error}");
    });
}

#[test]
fn a_failed_flush_is_never_retried() {
    let world = MemWorld::new();
    world.fail_next(DiskOp::Sync, ".log");
    run(&world, 1, |host| async move {
        let segments = empty();
        (0..10).for_each(|i| segments.push(batch(i + 1, i, 1, 7_000, 0)));
        segments.spread(&host, true, roll(1 << 20)).await.expect("space");
        for _ in 0..2 {
            assert_eq!(segments.sync(&host).await.expect_err("failed").code, Code::LogFailed);
        }
        segments.push(batch(11, 10, 1, 7_000, 0));
        assert_eq!(
            segments.spread(&host, true, roll(1 << 20)).await.expect_err("failed").code,
            Code::LogFailed
        );
        assert!(segments.state().covered_index() == 11, "the journal still has everything");
    });
}

#[test]
fn a_full_disk_loses_nothing_and_spreading_goes_on_when_there_is_room() {
    let world = MemWorld::new();
    let all = batches(8, 600, 4000, false);
    world.set_space_limit(Some(600 * 1024));
    let pushed = all.clone();
    let state = run(&world, 1, move |host| async move {
        let segments = empty();
        pushed.iter().for_each(|batch| segments.push(batch.clone()));
        for _ in 0..3 {
            let error = segments.spread(&host, true, roll(256 * 1024)).await.expect_err("no room");
            assert_eq!(error.code, Code::DiskFull);
        }
        let half: u64 = segments.end_offset().0 / 2;
        segments.evict(usize::MAX);
        read_all(&host, &segments, &pushed, half, 100_000).await;
        let state = segments.state().encode();
        segments.sync(&host).await.expect("what was written");
        state
    });
    world.crash(3);
    world.set_space_limit(None);
    run(&world, 2, move |host| async move {
        let segments = restore(&state);
        segments.spread(&host, true, roll(256 * 1024)).await.expect("room");
        segments.evict(usize::MAX);
        read_all(&host, &segments, &all, 0, 100_000).await;
    });
}
