//! Times, trims, trash, orphans, concurrent use: what goes on around spreading and reading.

use super::support::{
    Chance, DIR, Found, batch, batches, budget, check_read, empty, read_all, roll, run, spec,
};
use crate::segment::{BatchRef, ReadBudget, Segments, SegmentsState, delete_all, empty_trash};
use flumen_io::Host;
use flumen_io::mem::MemWorld;
use flumen_model::{Code, Offset, UnixMillis};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

#[test]
fn time_lookup_agrees_with_brute_force() {
    for (seed, segment_bytes, restored) in
        [(1, 100_000, false), (2, 64 << 20, false), (3, 300_000, true), (4, 64 << 20, true)]
    {
        let world = MemWorld::new();
        let all = batches(seed, 700, 3000, true);
        run(&world, 1, move |host| async move {
            let mut segments = empty();
            let (old, new) = all.split_at(650);
            old.iter().for_each(|batch| segments.push(batch.clone()));
            segments.spread(&host, true, roll(segment_bytes)).await.expect("space");
            segments.evict(usize::MAX);
            if restored {
                segments = Segments::restore(
                    spec(),
                    &SegmentsState::decode(segments.state().encode()).expect("intact"),
                );
            }
            new.iter().for_each(|batch| segments.push(batch.clone()));
            let mut chance = Chance(seed);
            for _ in 0..300 {
                let timestamp = 999_800 + chance.below(7_600) as i64;
                let from = chance.below(3) * chance.below(segments.end_offset().0 + 1) / 2;
                let found =
                    segments.offset_for_time(&host, &budget(), Offset(from), UnixMillis(timestamp)).await;
                let expected = all.iter().find(|b| b.last_offset >= from && b.max_timestamp >= timestamp);
                let expected =
                    expected.map(|b| (Offset(b.base_offset.max(from)), UnixMillis(b.max_timestamp)));
                assert_eq!(found.expect("intact"), expected, "seed {seed}, time {timestamp} from {from}");
            }
            let max = all.iter().map(|batch| batch.max_timestamp).max().map(UnixMillis);
            assert_eq!(segments.max_timestamp(), max);
        });
    }
}

#[test]
fn trim_deletes_whole_segments_and_the_rest_stays() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..60).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
    run(&world, 1, move |host| async move {
        let segments = empty();
        all.iter().for_each(|batch| segments.push(batch.clone()));
        segments.spread(&host, true, roll(150_000)).await.expect("space");
        segments.evict(usize::MAX);
        segments.trim(&host, Offset(30)).await.expect("deletes");
        assert_eq!(
            (segments.start_offset(), segments.segments()),
            (Offset(21), 2),
            "offset 30 is in the second"
        );
        read_all(&host, &segments, &all, 21, 50_000).await;
        let below = segments.read(&host, &budget(), Offset(20), Offset(60), 1).await.expect_err("gone");
        assert_eq!(below.code, Code::OffsetOutOfRange);
        assert_eq!(
            host.list_dir(Path::new(DIR)).await.expect("there").len(),
            3,
            "two of the sealed, one active"
        );
        segments.trim(&host, Offset(60)).await.expect("deletes");
        assert_eq!(
            (segments.start_offset(), segments.segments(), segments.stored_bytes()),
            (Offset(60), 0, 0)
        );
        assert!(host.list_dir(Path::new(DIR)).await.expect("there").is_empty());
        segments.push(batch(61, 60, 1, 9_000, 0));
        segments.spread(&host, true, roll(150_000)).await.expect("space");
        segments.evict(usize::MAX);
        assert_eq!(
            segments.read(&host, &budget(), Offset(60), Offset(61), 1).await.expect("stored").len(),
            1
        );
    });
}

#[test]
fn a_crash_after_everything_was_trimmed_harms_nothing() {
    let world = MemWorld::new();
    let old: Vec<BatchRef> = (0..40).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
    let state = run(&world, 1, move |host| async move {
        let segments = empty();
        old.into_iter().for_each(|batch| segments.push(batch));
        segments.spread(&host, true, roll(150_000)).await.expect("space");
        let state = segments.state().encode();
        segments.sync(&host).await.expect("sound");
        segments.trim(&host, Offset(40)).await.expect("deletes");
        host.sync_dir(Path::new(DIR)).await.expect("there");
        state
    });
    world.crash(1);
    run(&world, 2, move |host| async move {
        // The old checkpoint names files that are gone; replay spreads before the log start is known again.
        let segments = Segments::restore(spec(), &SegmentsState::decode(state).expect("intact"));
        let new: Vec<BatchRef> = (40..80).map(|i| batch(i + 1, i, 1, 7_000, 0)).collect();
        new.iter().for_each(|batch| segments.push(batch.clone()));
        segments.spread(&host, true, roll(150_000)).await.expect("a new segment");
        segments.trim(&host, Offset(40)).await.expect("deletes");
        segments.remove_orphans(&host).await.expect("deletes");
        segments.evict(usize::MAX);
        read_all(&host, &segments, &new, 40, 50_000).await;
        let mut found = Found::default();
        segments.verify(&host, &budget(), &mut found).await;
        assert_eq!(found.damages, []);
    });
}

#[test]
fn a_big_file_shrinks_in_steps_before_it_goes() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = empty();
        for i in 0..25 {
            segments.push(batch(i + 1, i, 1, 2 << 20, 0));
        }
        segments.spread(&host, true, roll(45 << 20)).await.expect("space");
        segments.evict(usize::MAX);
        let before = host.now();
        segments.trim(&host, Offset(25)).await.expect("deletes");
        assert!(host.now().since(before).as_millis() >= 40, "two steps and their pauses");
    });
    assert!(world.files().is_empty());
}

#[test]
fn orphans_go_and_what_is_listed_stays() {
    let world = MemWorld::new();
    let all = batches(3, 300, 3000, false);
    let checked = all.clone();
    run(&world, 1, move |host| async move {
        let segments = empty();
        all.iter().for_each(|batch| segments.push(batch.clone()));
        segments.spread(&host, true, roll(100_000)).await.expect("space");
        segments.sync(&host).await.expect("sound");
        let listed = host.list_dir(Path::new(DIR)).await.expect("there");
        for name in ["00000000000000099999.log", "00000000000000000000.idx.new", "junk"] {
            host.open(&Path::new(DIR).join(name), flumen_io::Access::WRITE).await.expect("new");
        }
        segments.remove_orphans(&host).await.expect("deletes");
        assert_eq!(host.list_dir(Path::new(DIR)).await.expect("there"), listed);
        segments.evict(usize::MAX);
        read_all(&host, &segments, &checked, 0, 100_000).await;
        let nothing = Segments::empty(super::support::spec_at("/data/t/none/0"));
        nothing.remove_orphans(&host).await.expect("no directory is fine");
    });
}

#[test]
fn a_deleted_topic_goes_through_the_trash_and_the_trash_is_emptied_at_boot() {
    for stop_at in 1..40 {
        let world = MemWorld::new();
        let (topic, trash) = (Path::new("/data/t/topic"), Path::new("/data/trash"));
        run(&world, 1, move |host| async move {
            for number in 0..2 {
                let segments = Segments::empty(super::support::spec_at(&format!("/data/t/topic/{number}")));
                batches(3, 100, 3000, false).into_iter().for_each(|batch| segments.push(batch));
                segments.spread(&host, true, roll(100_000)).await.expect("space");
                segments.sync(&host).await.expect("sound");
            }
            host.sync_dir(Path::new("/")).await.expect("there");
        });
        let delete = move |host| async move { delete_all(&host, topic, trash).await.expect("deletes") };
        use flumen_io::Machine;
        let machine = flumen_io::mem::MemMachine::new(world.clone(), stop_at).stop_after_polls(stop_at);
        machine.run(vec![delete]).expect("ends");
        world.crash(stop_at);
        run(&world, 2, move |host| async move {
            // The tombstone is committed: boot deletes again.
            delete_all(&host, topic, trash).await.expect("repeatable");
            empty_trash(&host, trash).await.expect("repeatable");
        });
        assert!(world.files().is_empty(), "stopped at {stop_at}: {:?}", world.files());
    }
}

#[test]
fn a_directory_that_a_killed_process_left_without_a_sync_is_made_durable() {
    for seed in 0..20 {
        let world = MemWorld::new();
        run(&world, 1, |host| async move {
            host.create_dir_all(Path::new("/data/t")).await.expect("new");
            host.sync_dir(Path::new("/data")).await.expect("there");
            host.sync_dir(Path::new("/")).await.expect("there");
            host.create_dir_all(Path::new(DIR)).await.expect("new");
        });
        let all = batches(seed, 50, 2000, false);
        let pushed = all.clone();
        let state = run(&world, 2, move |host| async move {
            let segments = empty();
            pushed.into_iter().for_each(|batch| segments.push(batch));
            segments.spread(&host, true, roll(1 << 20)).await.expect("space");
            let state = segments.state().encode();
            segments.sync(&host).await.expect("sound");
            state
        });
        world.crash(seed);
        run(&world, 3, move |host| async move {
            let segments = Segments::restore(spec(), &SegmentsState::decode(state).expect("intact"));
            read_all(&host, &segments, &all, 0, 100_000).await;
        });
    }
}

#[test]
fn a_partition_does_not_count_on_another_ones_sync_of_the_directory_that_they_share() {
    for seed in 0..20 {
        let world = MemWorld::new();
        let all = batches(seed, 50, 2000, false);
        let pushed = all.clone();
        let state = run(&world, 1, move |host| async move {
            host.create_dir_all(Path::new("/data")).await.expect("new");
            host.sync_dir(Path::new("/")).await.expect("there");
            // The first to come makes `t`, and does not come to its sync.
            let first = Segments::empty(super::support::spec_at("/data/t/other/0"));
            pushed.iter().for_each(|batch| first.push(batch.clone()));
            first.spread(&host, true, roll(1 << 20)).await.expect("space");
            let second = empty();
            pushed.into_iter().for_each(|batch| second.push(batch));
            second.spread(&host, true, roll(1 << 20)).await.expect("space");
            let state = second.state().encode();
            second.sync(&host).await.expect("sound");
            state
        });
        world.crash(seed);
        run(&world, 2, move |host| async move {
            let segments = Segments::restore(spec(), &SegmentsState::decode(state).expect("intact"));
            read_all(&host, &segments, &all, 0, 100_000).await;
        });
    }
}

#[test]
fn a_retired_partition_writes_nothing_any_more() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = Rc::new(empty());
        batches(3, 100, 3000, false).into_iter().for_each(|batch| segments.push(batch));
        let spreading = {
            let (host, segments) = (host.clone(), segments.clone());
            host.clone().spawn(async move { segments.spread(&host, true, roll(1 << 20)).await })
        };
        host.sleep(std::time::Duration::from_micros(50)).await;
        segments.retire().await;
        delete_all(&host, Path::new("/data/t/topic"), Path::new("/data/trash")).await.expect("deletes");
        segments.push(batch(1_000, 1_000, 1, 100_000, 0));
        assert_eq!(segments.spread(&host, true, roll(1 << 20)).await.expect("nothing to do").bytes, 0);
        segments.sync(&host).await.expect("nothing to do");
        segments.trim(&host, Offset(1_001)).await.expect("nothing to do");
        drop(spreading.await);
    });
    assert!(world.files().is_empty());
}

#[test]
fn readers_spreader_and_trimmer_do_not_disturb_each_other() {
    for seed in 0..10 {
        let world = MemWorld::new();
        let all = Rc::new(batches(seed, 1200, 3000, true));
        let sent: Vec<BatchRef> = all.to_vec();
        run(&world, seed, move |host| async move {
            let segments = Rc::new(empty());
            let all = Rc::new(sent);
            let log_start = Rc::new(Cell::new(0));
            let mut tasks = Vec::new();
            for reader in 0..4 {
                let (host, segments, all, log_start) =
                    (host.clone(), segments.clone(), all.clone(), log_start.clone());
                tasks.push(Box::pin(host.clone().spawn(async move {
                    let mut chance = Chance(seed ^ reader);
                    for _ in 0..150 {
                        let end = segments.end_offset();
                        let from = log_start.get() + chance.below(end.0 - log_start.get() + 1);
                        match segments.read(&host, &budget(), Offset(from), end, 150_000).await {
                            Ok(got) => check_read(&all, from, end.0, 150_000, &got),
                            Err(error) => {
                                assert_eq!(error.code, Code::OffsetOutOfRange, "{error}");
                                assert!(from < log_start.get(), "only what was trimmed meanwhile");
                            }
                        }
                    }
                })));
            }
            for (i, batch) in all.iter().enumerate() {
                segments.push(batch.clone());
                if i % 20 == 0 {
                    segments.spread(&host, i % 40 == 0, roll(200_000)).await.expect("space");
                    segments.evict(100_000);
                }
                if i % 150 == 149 {
                    log_start.set(batch.base_offset / 2);
                    segments.trim(&host, Offset(log_start.get())).await.expect("deletes");
                }
            }
            for task in tasks {
                task.await;
            }
        });
    }
}

#[test]
fn a_state_taken_right_after_a_forced_spread_has_less_than_a_block_inline() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = Rc::new(empty());
        let all = batches(5, 400, 2000, false);
        all[..200].iter().for_each(|batch| segments.push(batch.clone()));
        let pusher = {
            let (host, segments) = (host.clone(), segments.clone());
            host.clone().spawn(async move {
                for batch in &all[200..] {
                    segments.push(batch.clone());
                    host.sleep(std::time::Duration::from_micros(20)).await;
                }
            })
        };
        for _ in 0..10 {
            segments.spread(&host, true, roll(1 << 20)).await.expect("space");
            assert!(segments.unspread_bytes() < 4096, "at this very moment");
            assert_eq!(segments.state().covered_index(), segments.covered().0);
            host.sleep(std::time::Duration::from_micros(300)).await;
        }
        pusher.await;
    });
}

#[test]
fn readers_never_have_more_in_flight_than_the_budget() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let segments = Rc::new(empty());
        (0..200).for_each(|i| segments.push(batch(i + 1, i, 1, 20_000, 0)));
        segments.spread(&host, true, roll(64 << 20)).await.expect("space");
        segments.evict(usize::MAX);
        let small = ReadBudget::new(64 * 1024, 64 * 1024);
        let large = ReadBudget::new(1 << 20, 128 * 1024);
        let mut took = Vec::new();
        for budget in [small, large] {
            let before = host.now();
            let mut tasks = Vec::new();
            for reader in 0..8 {
                let (host, segments, budget) = (host.clone(), segments.clone(), budget.clone());
                tasks.push(Box::pin(host.clone().spawn(async move {
                    let from = Offset(reader * 20);
                    segments.read(&host, &budget, from, Offset(200), 400_000).await.expect("intact")
                })));
            }
            for task in tasks {
                assert!(!task.await.is_empty());
            }
            took.push(host.now().since(before));
        }
        assert!(took[0] > took[1] * 3, "one at a time takes longer: {took:?}");
    });
}
