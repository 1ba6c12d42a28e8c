//! Whole mixes of faults: the same seed and the same faults are the same run, over power losses too; the story
//! tells of it; a fault that is off draws nothing.

use super::{ALWAYS, BLOCK, always, filled, open, run, world, write};
use crate::local::{join2, timeout};
use crate::mem::unchanged_tests::{disk_print, lives};
use crate::mem::{Chance, Faults, FileChance, MemHost, MemMachine, MemWorld, Outcome, Pace};
use crate::{Access, Durability, File, Host, Listener, Machine, Read, Stream};
use bytes::{Bytes, BytesMut};
use flumen_model::limits::BLOCK_BYTES;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn often() -> FileChance {
    Chance::per_million(50_000).into()
}

fn disk(faults: &mut Faults) {
    let disk = &mut faults.disk;
    disk.shaped_crashes = true;
    disk.vanished_name = Chance::per_million(100_000).at_most(2).into();
    disk.misdirected_write = Chance::per_million(50_000).at_most(5).into();
    disk.lost_write = Chance::per_million(50_000).at_most(5).into();
    disk.rot = Pace::every(Duration::from_millis(5)).at_most(50);
    (disk.read_error, disk.write_error, disk.flush_error, disk.dir_flush_error) =
        (often(), often(), often(), often());
    disk.bad_sectors = Chance::per_million(50_000).at_most(3).into();
    (disk.slow, disk.slow_most) = (often(), Duration::from_millis(500));
    (disk.squeeze, disk.squeeze_free_most) = (Pace::every(Duration::from_millis(20)), 2 * BLOCK);
}

fn net(faults: &mut Faults) {
    let net = &mut faults.net;
    net.hit_per_million = 700_000;
    let often = Chance::per_million(20_000);
    (net.refused_connect, net.lost_connect, net.stall) = (often, often, often);
    (net.reset, net.half_close, net.one_way_cut, net.black_hole, net.dead) =
        (often, often, often, often, often);
    net.stall_most = Duration::from_millis(200);
}

fn clock(faults: &mut Faults) {
    let clock = &mut faults.clock;
    (clock.wall_jump, clock.wall_error_most) =
        (Pace::every(Duration::from_millis(50)), Duration::from_secs(9000));
    (clock.core_ahead_most, clock.core_drift_ppm_most) = (Duration::from_millis(3), 300);
    (clock.late_timer, clock.late_timer_most) = (Chance::per_million(100_000), Duration::from_millis(300));
}

fn cores(faults: &mut Faults) {
    let cores = &mut faults.cores;
    (cores.stall, cores.stall_most) = (Chance::per_million(5_000), Duration::from_millis(100));
    (cores.late_message, cores.late_message_most) = (Chance::per_million(50_000), Duration::from_millis(50));
}

fn everything(faults: &mut Faults) {
    disk(faults);
    net(faults);
    clock(faults);
    cores(faults);
}

/// Files and connections, come what may.
async fn come_what_may(host: MemHost) {
    let path = PathBuf::from(format!("/log-{}", host.core().0));
    let address = ([127, 0, 0, 1], 9000 + host.core().0 as u16).into();
    let listener = host.listen(address).await.unwrap();
    let server = host.clone();
    drop(host.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            drop(server.spawn(async move {
                while let (Ok(Read::Bytes(_)), back) = stream.read(BytesMut::with_capacity(128)).await {
                    let _ = stream.write(vec![back.freeze()]).await;
                }
            }));
        }
    }));
    for round in 0..40u64 {
        let file = host.open(&path, Access::DURABLE).await;
        if round % 4 == 1 {
            let _ = host.sync_dir(Path::new("/")).await;
        }
        if let Ok(file) = file {
            for n in 0..8 {
                let how = if n % 2 == 0 { Durability::Durable } else { Durability::Volatile };
                let block = (round + n) % 20;
                let _ = write(&host, &file, block, host.wall_ms() as u8, how).await;
                let _ = write(&host, &file, block / 2, n as u8, Durability::Volatile).await;
                let _ = file.read_at(n % 20 * BLOCK, 2 * BLOCK_BYTES).await;
            }
            if round % 4 == 0 {
                let _ = file.sync_data().await;
            }
        }
        let _ = host.open(&path.with_extension(round.to_string()), Access::WRITE).await;
        if let Ok(client) = host.connect(address).await {
            for _ in 0..5 {
                let sent = client.write(vec![Bytes::from_static(b"hello, is there anybody?")]).await.0;
                let answer = client.read(BytesMut::with_capacity(64));
                let _ = timeout(&host, Duration::from_millis(50), answer).await;
                if sent.is_err() {
                    break;
                }
            }
        }
    }
}

/// Three runs with power losses between; gives the traces, what is on the disk, and what happened.
fn story_of(seed: u64, set: fn(&mut Faults)) -> (Vec<u64>, MemWorld) {
    let world = world(set);
    let mut prints = Vec::new();
    for run in 0..3 {
        let machine = MemMachine::new(world.clone(), seed * 10 + run).poll_budget(1_000_000);
        let machine = if run < 2 { machine.stop_after_polls(1500 + seed * 50) } else { machine };
        machine.run(vec![come_what_may, come_what_may]).unwrap();
        let report = world.last_run().unwrap();
        prints.extend([report.trace, report.polls, report.events, report.elapsed.as_nanos() as u64]);
        world.crash(seed * 10 + run);
        prints.push(disk_print(&world));
    }
    (prints, world)
}

#[test]
fn the_same_seed_and_the_same_faults_are_the_same_run() {
    for set in [disk, net, clock, cores, everything] {
        for seed in 0..2 {
            let ((first, one), (second, other)) = (story_of(seed, set), story_of(seed, set));
            assert_eq!(first, second, "seed {seed}");
            assert_eq!(one.fired(), other.fired());
            assert_eq!(one.damage(), other.damage());
            assert_ne!(first, story_of(seed + 100, set).0);
            assert_ne!(first, story_of(seed, |_| {}).0, "the faults were there");
        }
    }
}

/// One number that every build must give: change it when a fault draws or does otherwise, and know that every
/// seed that somebody wrote down has changed with it.
#[test]
fn every_build_runs_a_mix_alike() {
    let (prints, world) = story_of(7, everything);
    let counts = world.fired().into_values();
    let all = prints.into_iter().chain(counts).fold(0u64, |sum, n| sum.rotate_left(7) ^ n);
    assert_eq!(all, 0xbca3_303c_a569_2f0d, "{all:#x}");
}

#[test]
fn a_mix_of_everything_fires_everything() {
    let mut sum = crate::mem::FaultCounts::new();
    for seed in 0..12 {
        for (name, count) in story_of(seed, everything).1.fired() {
            *sum.entry(name).or_default() += count;
        }
    }
    // Nobody sends between cores here; see the tests of cores.
    let never: Vec<_> = sum.iter().filter(|(name, n)| **n == 0 && **name != "late_message").collect();
    assert!(never.is_empty(), "{never:?} of {sum:?}");
}

#[test]
fn faults_that_never_hit_leave_trace_and_disk_as_they_were() {
    let bounds_only = |faults: &mut Faults| {
        faults.disk.slow_most = Duration::from_secs(1);
        faults.disk.rot = Pace { every: Duration::ZERO, most: Some(9) };
        faults.disk.read_error =
            FileChance { chance: Chance::default().at_most(7), paths: vec!["log".into()] };
        faults.clock.wall_error_most = Duration::from_secs(1);
        faults.cores.stall_most = Duration::from_secs(1);
        faults.net.hit_per_million = 0;
        faults.net.reset = ALWAYS;
    };
    let elsewhere = |faults: &mut Faults| {
        faults.disk.read_error = ALWAYS.on(&["/nowhere"]);
        faults.disk.write_error = ALWAYS.on(&["/nowhere"]);
        faults.disk.flush_error = ALWAYS.on(&["/nowhere"]);
        faults.disk.slow = ALWAYS.on(&["/nowhere"]);
        faults.disk.slow_most = Duration::from_secs(1);
        faults.cores.stall = ALWAYS.at_most(0);
    };
    for seed in 0..3 {
        let quiet = lives(&MemWorld::new(), seed);
        assert_eq!(quiet, lives(&world(bounds_only), seed));
        assert_eq!(quiet, lives(&world(elsewhere), seed), "what is drawn and spared moves nothing");
    }
}

#[test]
fn one_fault_more_does_not_move_the_draws_of_another() {
    let failed = |set: fn(&mut Faults)| {
        let world = world(set);
        filled(&world, "/f", 1);
        let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let list = std::sync::Arc::clone(&told);
        run(&world, 7, move |host| async move {
            let file = open(&host, "/f").await;
            for n in 0..100 {
                if file.read_at(0, BLOCK_BYTES).await.is_err() {
                    list.lock().unwrap().push(n);
                }
            }
        });
        told.lock().unwrap().clone()
    };
    let alone = failed(|faults| faults.disk.read_error = often());
    let beside = failed(|faults| {
        faults.disk.read_error = often();
        (faults.disk.slow, faults.disk.slow_most) = (always(), Duration::from_millis(3));
        clock(faults);
        cores(faults);
    });
    assert!(!alone.is_empty());
    assert_eq!(alone, beside);
}

#[test]
fn the_story_tells_what_happened_and_changes_nothing() {
    let world = world(|faults| faults.disk.flush_error = ALWAYS.at_most(1).into());
    world.set_story(true);
    let main = |host: MemHost| async move {
        let file = host.open(Path::new("/log"), Access::DURABLE).await.unwrap();
        let _ = write(&host, &file, 2, 1, Durability::Durable).await;
        let _ = file.sync_data().await;
        let listener = host.listen(([127, 0, 0, 1], 9000).into()).await.unwrap();
        let (near, far) = join2(host.connect(listener.local_addr()), listener.accept()).await;
        near.unwrap().write(vec![Bytes::from_static(b"four")]).await.0.unwrap();
        far.unwrap().read(BytesMut::with_capacity(1)).await.0.unwrap();
    };
    run(&world, 1, main);
    let told = world.last_run();
    world.crash(1);
    let story = world.take_story();
    let has = |parts: &[&str]| story.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["core 0", "/log", "write 4096 at 8192", "durable"]), "{story:#?}");
    assert!(has(&["/log", "failed"]) && has(&["FAULT flush_error", "/log"]), "{story:#?}");
    assert!(has(&["connection 1", "sends 4 bytes"]) && has(&["connection 1", "reads"]), "{story:#?}");
    assert!(has(&["CRASH"]) && world.take_story().is_empty());

    let silent = super::world(|faults| faults.disk.flush_error = ALWAYS.at_most(1).into());
    run(&silent, 1, main);
    assert_eq!(told, silent.last_run());
    assert!(silent.take_story().is_empty());
}

#[test]
fn the_story_keeps_the_last_four_hundred_lines() {
    let world = MemWorld::new();
    world.set_story(true);
    run(&world, 1, |host| async move {
        let file = open(&host, "/f").await;
        for n in 0..500 {
            write(&host, &file, n, 1, Durability::Durable).await.unwrap();
        }
    });
    let story = world.take_story();
    assert_eq!(story.len(), 400);
    assert!(story[398].contains(&format!("at {}", 499 * BLOCK)), "{}", story[398]);
}

#[test]
fn events_count_polls_and_everything_that_came_due() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        for _ in 0..10 {
            host.sleep(Duration::from_millis(1)).await;
        }
    });
    let report = world.last_run().unwrap();
    assert_eq!((report.polls, report.events, report.outcome), (11, 21, Outcome::Finished));
}
