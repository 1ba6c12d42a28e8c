//! Faults of the disk: errors, lies, rot, slowness and what a power loss may do on top.

use super::{ALWAYS, BLOCK, always, errno, filled, half, open, run, world, write};
use crate::mem::{Chance, Faults, MemWorld, Pace};
use crate::{Access, Durability, File, Host};
use flumen_model::limits::BLOCK_BYTES;
use std::path::Path;
use std::time::Duration;

#[test]
fn a_read_error_passes_and_hits_only_the_named_files() {
    let world = world(|faults| faults.disk.read_error = Chance::per_million(300_000).on(&["log"]));
    filled(&world, "/log", 1);
    filled(&world, "/other", 1);
    run(&world, 2, |host| async move {
        let (log, other) = (open(&host, "/log").await, open(&host, "/other").await);
        let mut failed = 0;
        for _ in 0..100 {
            other.read_at(0, BLOCK_BYTES).await.unwrap();
            let read = log.read_at(0, BLOCK_BYTES).await;
            failed += u64::from(read.is_err());
            assert!(read.map_or_else(|e| e.raw_os_error() == Some(libc::EIO), |bytes| bytes[0] == 1));
        }
        assert!((10..60).contains(&failed), "{failed} of 100");
        assert_eq!(host.world().fired()["read_error"], failed);
    });
}

#[test]
fn bad_sectors_stay_bad_until_they_are_written_again() {
    let world = world(|faults| faults.disk.bad_sectors = ALWAYS.at_most(1).into());
    filled(&world, "/f", 3);
    run(&world, 2, |host| async move {
        let file = open(&host, "/f").await;
        for _ in 0..5 {
            assert_eq!(errno(file.read_at(BLOCK, BLOCK_BYTES).await), Some(libc::EIO));
            assert_eq!(errno(file.read_at(0, 3 * BLOCK_BYTES).await), Some(libc::EIO));
        }
        file.read_at(0, BLOCK_BYTES).await.unwrap();
        write(&host, &file, 1, 9, Durability::Durable).await.unwrap();
        assert_eq!(file.read_at(BLOCK, BLOCK_BYTES).await.unwrap(), [9; BLOCK_BYTES][..]);
    });
    let (fired, damage) = (world.fired(), world.damage());
    assert_eq!((fired["bad_sectors"], fired["bad_sector_read"]), (1, 10));
    assert_eq!(
        (damage.len(), damage[0].fault, damage[0].path.as_path()),
        (1, "bad_sectors", Path::new("/f"))
    );
    assert!(damage[0].position >= BLOCK && damage[0].position + damage[0].len <= 2 * BLOCK);
}

#[test]
fn bad_sectors_survive_a_power_loss() {
    let world = world(|faults| faults.disk.bad_sectors = ALWAYS.at_most(1).into());
    filled(&world, "/f", 1);
    for seed in 2..4 {
        run(&world, seed, |host| async move {
            let file = open(&host, "/f").await;
            assert_eq!(errno(file.read_at(0, BLOCK_BYTES).await), Some(libc::EIO));
        });
        world.crash(seed);
    }
}

#[test]
fn a_failed_write_has_written_some_sectors_and_none_durably() {
    let (mut some, mut undone) = (0, 0);
    for seed in 0..20 {
        let world = world(|faults| faults.disk.write_error = always());
        filled(&world, "/f", 1);
        run(&world, seed, |host| async move {
            let file = open(&host, "/f").await;
            assert_eq!(errno(write(&host, &file, 0, 7, Durability::Durable).await), Some(libc::EIO));
        });
        let count = |world: &MemWorld| {
            world.read_file("/f").unwrap().chunks(512).filter(|sector| sector[0] == 7).count()
        };
        let written = count(&world);
        world.crash(seed);
        some += usize::from((1..8).contains(&written));
        undone += written - count(&world);
        assert_eq!(world.fired()["write_error"], 1);
    }
    assert!(some > 15 && undone > 10, "{some} writes of 20 were torn, {undone} sectors were undone");
}

#[test]
fn a_flush_that_failed_is_not_mended_by_the_next_that_lies() {
    let lost = (0..40).filter(|seed| {
        let world = world(|faults| faults.disk.flush_error = ALWAYS.at_most(1).on(&["f"]));
        run(&world, *seed, |host| async move {
            let file = open(&host, "/f").await;
            write(&host, &file, 0, 1, Durability::Volatile).await.unwrap();
            assert_eq!(errno(file.sync_data().await), Some(libc::EIO));
            file.sync_data().await.unwrap();
            write(&host, &file, 1, 2, Durability::Volatile).await.unwrap();
            file.sync_data().await.unwrap();
        });
        world.crash(*seed);
        let bytes = world.read_file("/f").unwrap();
        assert!(bytes[BLOCK_BYTES..].iter().all(|b| *b == 2), "what came after is covered");
        bytes[..BLOCK_BYTES].iter().any(|b| *b != 1)
    });
    assert!(lost.count() > 10);
}

#[test]
fn a_failed_flush_of_a_directory_leaves_its_names_unsure_until_one_succeeds() {
    let gone = |again: bool| {
        (0..40).filter(move |seed| {
            let world = world(|faults| faults.disk.dir_flush_error = ALWAYS.at_most(1).into());
            run(&world, *seed, move |host| async move {
                host.open(Path::new("/f"), Access::WRITE).await.unwrap();
                assert_eq!(errno(host.sync_dir(Path::new("/")).await), Some(libc::EIO));
                if again {
                    host.sync_dir(Path::new("/")).await.unwrap();
                }
            });
            assert_eq!(world.fired()["dir_flush_error"], 1);
            world.crash(*seed);
            world.read_file("/f").is_err()
        })
    };
    assert_eq!(gone(true).count(), 0);
    assert!((5..35).contains(&gone(false).count()));
}

#[test]
fn a_misdirected_write_lands_whole_somewhere_else_and_is_told() {
    let (mut same, mut other) = (0, 0);
    for seed in 0..40 {
        let world = world(|faults| faults.disk.misdirected_write = ALWAYS.at_most(1).on(&["/J"]));
        for path in ["/J0", "/J1", "/K"] {
            filled(&world, path, 6);
        }
        run(&world, seed, |host| async move {
            let file = open(&host, "/J0").await;
            for n in 0..3 {
                write(&host, &file, n, 77, Durability::Durable).await.unwrap();
            }
        });
        world.crash(seed);
        let damage = world.damage();
        assert_eq!((damage.len(), world.fired()["misdirected_write"]), (2, 1), "seed {seed}");
        assert!(damage[0].path == Path::new("/J0") && damage[0].position < 3 * BLOCK);
        let at = (damage[1].position / BLOCK) as usize;
        for path in ["/J0", "/J1", "/K"] {
            let bytes = world.read_file(path).unwrap();
            for (n, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
                let here = damage[1].path == Path::new(path) && n == at;
                let missing = path == "/J0" && damage[0].position == n as u64 * BLOCK;
                let asked = path == "/J0" && n < 3;
                // A victim that is written later holds what was asked of it.
                let full = here || (asked && !missing);
                let byte = if full { 77 } else { n as u8 + 1 };
                assert!(block.iter().all(|b| *b == byte), "seed {seed}: block {n} of {path}");
            }
        }
        if damage[1].path == Path::new("/J0") { same += 1 } else { other += 1 }
    }
    assert!(same > 5 && other > 5, "{same} in the same file, {other} in another");
}

#[test]
fn a_lost_write_is_acked_and_never_happens() {
    let world = world(|faults| faults.disk.lost_write = ALWAYS.at_most(1).into());
    filled(&world, "/f", 2);
    run(&world, 3, |host| async move {
        let file = open(&host, "/f").await;
        write(&host, &file, 2, 9, Durability::Durable).await.unwrap();
        write(&host, &file, 1, 9, Durability::Durable).await.unwrap();
        write(&host, &file, 0, 9, Durability::Durable).await.unwrap();
    });
    let firsts: Vec<u8> = world.read_file("/f").unwrap().chunks(BLOCK_BYTES).map(|b| b[0]).collect();
    assert_eq!(firsts, [9, 2, 9], "what grows the file is never lost, and only one is");
    assert_eq!((world.damage()[0].fault, world.damage()[0].position), ("lost_write", BLOCK));
}

#[test]
fn rot_flips_single_durable_bits_of_the_named_files_as_time_goes_by() {
    let world = world(|faults| {
        faults.disk.rot = Pace::every(Duration::from_secs(10)).at_most(20);
        faults.disk.rot_paths = vec!["/log".into()];
    });
    filled(&world, "/log", 8);
    filled(&world, "/other", 8);
    let wrong_bits = |path: &str| -> u32 {
        let bytes = world.read_file(path).unwrap();
        let right = |at: usize| (at / BLOCK_BYTES) as u8 + 1;
        bytes.iter().enumerate().map(|(at, byte)| (byte ^ right(at)).count_ones()).sum()
    };
    let wait = |seconds: u64| {
        run(&world, seconds, move |host| async move {
            host.sleep(Duration::from_secs(seconds)).await;
            host.path_kind(Path::new("/log")).await.unwrap();
        });
    };
    run(&world, 5, |host| async move {
        host.path_kind(Path::new("/log")).await.unwrap();
    });
    wait(100);
    let some = wrong_bits("/log");
    assert!((2..20).contains(&some), "{some} bits in 100 s");
    wait(10_000);
    assert_eq!(world.fired()["rot"], 20, "and no more");
    assert_eq!(world.damage().len(), 20);
    assert!((10..=20).contains(&wrong_bits("/log")));
    assert_eq!(wrong_bits("/other"), 0);
    let spots = world.damage().into_iter().map(|damage| damage.position / BLOCK);
    assert!(spots.collect::<std::collections::BTreeSet<_>>().len() > 4, "it is spread over the file");
}

#[test]
fn the_simulator_decides_what_may_be_harmed_for_good() {
    let world = world(|faults| {
        faults.disk.lost_write = always();
        faults.disk.misdirected_write = always();
        faults.disk.bad_sectors = always();
        faults.disk.vanished_name = always();
        faults.disk.rot = Pace::every(Duration::from_millis(1));
    });
    filled(&world, "/f", 4);
    filled(&world, "/poor", 4);
    world.set_damage_hook(Some(Box::new(|path, position, len| {
        path == Path::new("/poor") && position >= BLOCK && position + len <= 2 * BLOCK
    })));
    run(&world, 3, |host| async move {
        let (file, poor) = (open(&host, "/f").await, open(&host, "/poor").await);
        for n in 0..4 {
            write(&host, &file, n, n as u8 + 1, Durability::Durable).await.unwrap();
            write(&host, &poor, n, n as u8 + 1, Durability::Durable).await.unwrap();
            host.sleep(Duration::from_millis(100)).await;
            file.read_at(0, 4 * BLOCK_BYTES).await.unwrap();
        }
    });
    world.crash(1);
    for (n, block) in world.read_file("/f").unwrap().chunks(BLOCK_BYTES).enumerate() {
        assert!(block.iter().all(|b| *b == n as u8 + 1));
    }
    let inside = |position| (BLOCK..2 * BLOCK).contains(&position);
    assert!(world.damage().iter().all(|harm| harm.path == Path::new("/poor") && inside(harm.position)));
    assert!(world.fired()["rot"] > 0 && world.fired()["lost_write"] > 0);
}

#[test]
fn a_slow_operation_takes_its_time_and_others_overtake_it() {
    let world = world(|faults| {
        faults.disk.slow = ALWAYS.on(&["slow"]);
        faults.disk.slow_most = Duration::from_secs(5);
    });
    run(&world, 3, |host| async move {
        let fast = host.open(Path::new("/fast"), Access::DURABLE).await.unwrap();
        let start = host.now();
        write(&host, &fast, 0, 1, Durability::Durable).await.unwrap();
        assert!(host.now().since(start) < Duration::from_millis(1));
        let slow = host.open(Path::new("/slow"), Access::DURABLE).await.unwrap();
        let mut waits = Vec::new();
        for n in 0..60 {
            let start = host.now();
            write(&host, &slow, n, 1, Durability::Durable).await.unwrap();
            waits.push(host.now().since(start));
        }
        waits.sort();
        assert!(waits[0] >= Duration::from_millis(1) && waits[59] <= Duration::from_millis(5001));
        assert!(waits[30] < Duration::from_millis(300) && waits[59] > Duration::from_secs(1), "{waits:?}");
        assert_eq!(host.world().fired()["slow"], 61);
    });
}

/// What a power loss leaves of three writes to the same block and one to the next, none of them flushed.
fn left_after_crash(shaped: bool, seed: u64) -> (Vec<u8>, MemWorld) {
    let world = world(|faults| faults.disk.shaped_crashes = shaped);
    filled(&world, "/f", 2);
    run(&world, seed, |host| async move {
        let file = open(&host, "/f").await;
        for byte in 11..14 {
            write(&host, &file, 0, byte, Durability::Volatile).await.unwrap();
        }
        write(&host, &file, 1, 14, Durability::Volatile).await.unwrap();
    });
    world.crash(seed);
    (world.read_file("/f").unwrap(), world)
}

#[test]
fn shaped_crashes_keep_any_version_whole_writes_a_prefix_all_or_nothing() {
    let whole = |bytes: &[u8], byte: u8| bytes.iter().all(|b| *b == byte);
    let (mut all, mut nothing, mut prefix, mut reordered, mut torn, mut old) = (0, 0, 0, 0, 0, 0);
    for seed in 0..400 {
        let (bytes, world) = left_after_crash(true, seed);
        assert!(bytes.chunks(512).take(8).all(|sector| [1, 11, 12, 13].contains(&sector[0])));
        let (first, second) = bytes.split_at(BLOCK_BYTES);
        all += u64::from(whole(first, 13) && whole(second, 14));
        nothing += u64::from(whole(first, 1) && whole(second, 2));
        prefix += u64::from(whole(first, 12) && whole(second, 2));
        let early_lost = [1, 11, 12].iter().any(|byte| whole(first, *byte));
        reordered += u64::from(early_lost && whole(second, 14));
        let is_torn = !(1..15).any(|byte| whole(first, byte));
        torn += u64::from(is_torn);
        assert!(!is_torn || world.fired()["torn_write"] > 0);
        old += u64::from(world.fired()["crash_old_version"] > 0);
        assert_eq!(world.fired()["crash"], 1);
    }
    let seen = [all, nothing, prefix, reordered, torn, old];
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}

#[test]
fn a_later_write_may_be_kept_while_an_earlier_one_of_the_file_is_lost() {
    let reordered = (0..40).filter(|seed| {
        let (bytes, world) = left_after_crash(false, *seed);
        let earlier_lost = bytes[..BLOCK_BYTES].contains(&1);
        let later_kept = bytes[BLOCK_BYTES..].contains(&14);
        assert_eq!(world.fired()["crash_reordered"], u64::from(earlier_lost && later_kept));
        earlier_lost && later_kept
    });
    assert!(reordered.count() > 20);
}

#[test]
fn a_durable_name_may_vanish_at_a_power_loss_and_no_oftener_than_allowed() {
    let world = world(|faults| faults.disk.vanished_name = half_at_most_two());
    for path in ["/a-log", "/b-log", "/c-log", "/d-log", "/other"] {
        filled(&world, path, 1);
    }
    for seed in 0..20 {
        world.crash(seed);
    }
    let names: Vec<_> = world.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"/other".into()), "not among the named");
    assert_eq!((world.fired()["vanished_name"], world.damage().len()), (2, 2));
    run(&world, 9, |host| async move {
        host.open(Path::new("/a-log"), Access::WRITE).await.unwrap();
    });
}

fn half_at_most_two() -> crate::mem::FileChance {
    let mut chance = half();
    chance.chance.most = Some(2);
    chance.paths = vec!["-log".into()];
    chance
}

#[test]
fn healing_ends_the_errors() {
    let world = world(|faults| {
        faults.disk.read_error = always();
        faults.disk.write_error = always();
        faults.disk.flush_error = always();
    });
    run(&world, 1, |host| async move {
        let file = host.open(Path::new("/f"), Access::DURABLE).await.unwrap();
        assert!(write(&host, &file, 0, 1, Durability::Durable).await.is_err());
        assert!(file.sync_data().await.is_err());
        assert!(file.read_at(0, BLOCK_BYTES).await.is_err());
        host.world().set_faults(Faults::default());
        write(&host, &file, 0, 1, Durability::Durable).await.unwrap();
        file.sync_data().await.unwrap();
        assert_eq!(file.read_at(0, BLOCK_BYTES).await.unwrap().len(), BLOCK_BYTES);
    });
}
