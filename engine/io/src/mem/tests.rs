//! Tests of the simulated machine itself: the same seed runs the same, kills and crashes lose what they may
//! and nothing else, faults come where they were asked for.

use super::{DiskOp, MemHost, MemMachine, MemWorld, Outcome};
use crate::local::join2;
use crate::{Access, Buf, Durability, File, Host, Listener, Machine, PathKind, Read, Stream};
use bytes::{Bytes, BytesMut};
use flumen_model::limits::BLOCK_BYTES;
use std::future::{Future, pending};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BLOCK: u64 = BLOCK_BYTES as u64;

fn run<F: Future<Output = ()> + 'static>(
    world: &MemWorld,
    seed: u64,
    main: impl FnOnce(MemHost) -> F + Send + 'static,
) {
    MemMachine::new(world.clone(), seed).run(vec![main]).unwrap();
}

async fn write(host: &MemHost, file: &super::MemFile, block: u64, byte: u8, how: Durability) {
    let mut buf = host.buf(BLOCK_BYTES);
    buf.bytes_mut().fill(byte);
    file.write_at(buf, block * BLOCK, how).await.0.unwrap();
}

/// A bit of everything, on two cores.
fn busy_trace(seed: u64) -> u64 {
    let world = MemWorld::new();
    let main = |host: MemHost| async move {
        let path = format!("/f{}", host.core().0);
        let file = host.open(Path::new(&path), Access::DURABLE).await.unwrap();
        let listener = host.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (client, server) = join2(host.connect(listener.local_addr()), listener.accept()).await;
        let (client, server) = (client.unwrap(), server.unwrap());
        let echo = host.spawn(async move {
            let mut buf = BytesMut::with_capacity(64);
            while let (Ok(Read::Bytes(_)), back) = server.read(buf).await {
                server.write(vec![back.freeze()]).await.0.unwrap();
                buf = BytesMut::with_capacity(64);
            }
        });
        for n in 0..20u8 {
            write(&host, &file, u64::from(n), host.entropy() as u8, Durability::Durable).await;
            client.write(vec![Bytes::copy_from_slice(&[n; 50])]).await.0.unwrap();
            client.read(BytesMut::with_capacity(64)).await.0.unwrap();
        }
        drop(client);
        echo.await;
    };
    MemMachine::new(world.clone(), seed).run(vec![main, main]).unwrap();
    world.last_run().unwrap().trace
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let traces: Vec<u64> = (0..10).map(busy_trace).collect();
    assert_eq!(traces, (0..10).map(busy_trace).collect::<Vec<_>>());
    for (n, trace) in traces.iter().enumerate() {
        assert!(!traces[..n].contains(trace), "seed {n} ran like an earlier one");
    }
}

#[test]
fn what_was_acked_durable_survives_a_kill_at_any_poll_and_a_power_loss() {
    for polls in 1..200 {
        let (world, acked) = (MemWorld::new(), Arc::new(AtomicU64::new(0)));
        let told = Arc::clone(&acked);
        let main = move |host: MemHost| async move {
            let file = host.open(Path::new("/log"), Access::DURABLE).await.unwrap();
            host.sync_dir(Path::new("/")).await.unwrap();
            for n in 0..40 {
                write(&host, &file, n, n as u8 + 1, Durability::Durable).await;
                told.store(n + 1, Ordering::Relaxed);
            }
        };
        MemMachine::new(world.clone(), polls).stop_after_polls(polls).run(vec![main]).unwrap();
        world.crash(polls);
        let acked = acked.load(Ordering::Relaxed);
        if acked == 0 {
            continue;
        }
        let bytes = world.read_file("/log").unwrap();
        for n in 0..acked {
            let block = &bytes[(n * BLOCK) as usize..][..BLOCK_BYTES];
            assert!(
                block.iter().all(|b| *b == n as u8 + 1),
                "block {n} of {acked}, killed after {polls} polls"
            );
        }
    }
}

#[test]
fn a_crash_keeps_or_loses_each_volatile_sector_by_itself() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..50 {
        let world = MemWorld::new();
        run(&world, seed, |host| async move {
            let file = host.open(Path::new("/f"), Access::DURABLE).await.unwrap();
            host.sync_dir(Path::new("/")).await.unwrap();
            write(&host, &file, 0, 1, Durability::Durable).await;
            write(&host, &file, 0, 2, Durability::Volatile).await;
        });
        assert!(world.read_file("/f").unwrap().iter().all(|b| *b == 2), "a killed process loses nothing");
        world.crash(seed);
        for sector in world.read_file("/f").unwrap().chunks(512) {
            assert!(*sector == [1; 512] || *sector == [2; 512], "a sector is never torn");
            if sector[0] == 1 { lost += 1 } else { kept += 1 }
        }
    }
    assert!(kept > 100 && lost > 100, "{kept} kept, {lost} lost");
}

#[test]
fn a_new_file_is_sure_only_after_its_directory_was_synced() {
    let survives = |seed, sync: bool| {
        let world = MemWorld::new();
        run(&world, seed, move |host| async move {
            host.create_dir_all(Path::new("/d")).await.unwrap();
            host.sync_dir(Path::new("/")).await.unwrap();
            let file = host.open(Path::new("/d/f"), Access::DURABLE).await.unwrap();
            write(&host, &file, 0, 1, Durability::Durable).await;
            if sync {
                host.sync_dir(Path::new("/d")).await.unwrap();
            }
        });
        world.crash(seed);
        world.read_file("/d/f").is_ok()
    };
    assert!((0..40).all(|seed| survives(seed, true)));
    let lucky = (0..40).filter(|seed| survives(*seed, false)).count();
    assert!((5..35).contains(&lucky), "{lucky} of 40");
}

#[test]
fn a_rename_is_kept_or_lost_as_a_whole() {
    let mut moved = 0;
    for seed in 0..40 {
        let world = MemWorld::new();
        run(&world, seed, |host| async move {
            host.open(Path::new("/old"), Access::WRITE).await.unwrap();
            host.sync_dir(Path::new("/")).await.unwrap();
            host.rename(Path::new("/old"), Path::new("/new")).await.unwrap();
        });
        world.crash(seed);
        let (old, new) = (world.read_file("/old").is_ok(), world.read_file("/new").is_ok());
        assert!(old != new, "exactly one name, not old {old} and new {new}");
        moved += usize::from(new);
    }
    assert!((5..35).contains(&moved), "{moved} of 40");
}

#[test]
fn a_synced_rename_is_not_undone_by_an_older_change_of_the_same_name() {
    for seed in 0..20 {
        let world = MemWorld::new();
        run(&world, seed, |host| async move {
            for dir in ["/a", "/b"] {
                host.create_dir_all(Path::new(dir)).await.unwrap();
            }
            host.sync_dir(Path::new("/")).await.unwrap();
            let file = host.open(Path::new("/a/f"), Access::DURABLE).await.unwrap();
            write(&host, &file, 0, 1, Durability::Durable).await;
            host.open(Path::new("/b/g"), Access::WRITE).await.unwrap();
            host.rename(Path::new("/a/f"), Path::new("/b/g")).await.unwrap();
            host.sync_dir(Path::new("/a")).await.unwrap();
        });
        world.crash(seed);
        assert_eq!(world.read_file("/b/g").unwrap(), vec![1; BLOCK_BYTES]);
    }
}

#[test]
fn the_seed_decides_who_runs_first() {
    let first = |seed| {
        let (world, first) = (MemWorld::new(), Arc::new(AtomicU64::new(0)));
        let main = |n| {
            let first = Arc::clone(&first);
            move |_: MemHost| async move {
                let _ = first.compare_exchange(0, n, Ordering::Relaxed, Ordering::Relaxed);
            }
        };
        MemMachine::new(world, seed).run((1..=3).map(main).collect()).unwrap();
        first.load(Ordering::Relaxed)
    };
    let winners: std::collections::BTreeSet<u64> = (0..30).map(first).collect();
    assert_eq!(winners.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_flush_covers_what_was_complete_before_it_and_not_what_was_in_flight() {
    let mut lost = 0;
    for seed in 0..40 {
        let world = MemWorld::new();
        run(&world, seed, |host| async move {
            let file = host.open(Path::new("/f"), Access::DURABLE).await.unwrap();
            host.sync_dir(Path::new("/")).await.unwrap();
            write(&host, &file, 0, 1, Durability::Volatile).await;
            let flying = file.clone();
            let task = host.clone();
            let in_flight =
                host.spawn(async move { write(&task, &flying, 1, 2, Durability::Volatile).await });
            join2(file.sync_data(), in_flight).await.0.unwrap();
        });
        world.crash(seed);
        let bytes = world.read_file("/f").unwrap();
        assert!(bytes[..BLOCK_BYTES].iter().all(|b| *b == 1));
        lost += usize::from(bytes.len() < 2 * BLOCK_BYTES || bytes[BLOCK_BYTES..].contains(&0));
    }
    assert!(lost > 10, "the flush covered the write in flight in all but {lost} of 40");
}

#[test]
fn a_full_disk_refuses_and_freeing_helps() {
    let world = MemWorld::new();
    world.set_space_limit(Some(4 * BLOCK));
    run(&world, 1, |host| async move {
        let space = host.space(Path::new("/")).await.unwrap();
        assert_eq!((space.free, space.total), (4 * BLOCK, 4 * BLOCK));
        let file = host.open(Path::new("/a"), Access::WRITE).await.unwrap();
        file.allocate(0, 3 * BLOCK).await.unwrap();
        let other = host.open(Path::new("/b"), Access::WRITE).await.unwrap();
        write(&host, &other, 0, 1, Durability::Volatile).await;
        let (full, buf) = other.write_at(host.buf(BLOCK_BYTES), BLOCK, Durability::Volatile).await;
        assert_eq!(full.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        write(&host, &file, 2, 1, Durability::Volatile).await;
        host.remove_file(Path::new("/a")).await.unwrap();
        assert_eq!(host.space(Path::new("/")).await.unwrap().free, 0, "still open");
        drop(file);
        other.write_at(buf, BLOCK, Durability::Volatile).await.0.unwrap();
    });
}

#[test]
fn faults_hit_the_next_operation_on_the_named_file_once() {
    let world = MemWorld::new();
    let faulty = world.clone();
    world.fail_next(DiskOp::Write, "journal");
    world.fail_next(DiskOp::Sync, "journal");
    world.fail_next(DiskOp::Read, "journal");
    run(&world, 3, |host| async move {
        let other = host.open(Path::new("/other"), Access::DURABLE).await.unwrap();
        let file = host.open(Path::new("/journal-0"), Access::DURABLE).await.unwrap();
        host.sync_dir(Path::new("/")).await.unwrap();
        write(&host, &other, 0, 1, Durability::Durable).await;
        let (failed, buf) = file.write_at(host.buf(BLOCK_BYTES), 0, Durability::Durable).await;
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::EIO));
        file.write_at(buf, 0, Durability::Volatile).await.0.unwrap();
        assert_eq!(file.sync_data().await.unwrap_err().raw_os_error(), Some(libc::EIO));
        file.sync_data().await.unwrap();
        assert_eq!(file.read_at(0, BLOCK_BYTES).await.unwrap_err().raw_os_error(), Some(libc::EIO));
        file.read_at(0, BLOCK_BYTES).await.unwrap();
    });
    assert_eq!(faulty.files().len(), 2);
}

#[test]
fn what_a_failed_flush_should_have_covered_is_not_saved_by_the_next() {
    let lost = (0..40).filter(|seed| {
        let world = MemWorld::new();
        world.fail_next(DiskOp::Sync, "f");
        run(&world, *seed, |host| async move {
            let file = host.open(Path::new("/f"), Access::DURABLE).await.unwrap();
            host.sync_dir(Path::new("/")).await.unwrap();
            write(&host, &file, 0, 1, Durability::Volatile).await;
            file.sync_data().await.unwrap_err();
            file.sync_data().await.unwrap();
        });
        world.crash(*seed);
        world.read_file("/f").unwrap().iter().any(|b| *b != 1)
    });
    assert!(lost.count() > 10);
}

#[test]
fn damage_is_seen_by_the_next_reader() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        let file = host.open(Path::new("/f"), Access::DURABLE).await.unwrap();
        write(&host, &file, 0, 0xF0, Durability::Durable).await;
        write(&host, &file, 1, 0xF0, Durability::Volatile).await;
    });
    world.corrupt("/f", 100, 1).unwrap();
    world.corrupt("/f", BLOCK + 7, 0x80).unwrap();
    let bytes = world.read_file("/f").unwrap();
    assert_eq!((bytes[100], bytes[101], bytes[BLOCK_BYTES + 7]), (0xF1, 0xF0, 0x70));
    world.cut("/f", 1000).unwrap();
    run(&world, 2, |host| async move {
        assert_eq!(host.path_kind(Path::new("/f")).await.unwrap(), PathKind::File(1000));
    });
    assert!(world.corrupt("/missing", 0, 1).is_err());
}

#[test]
fn a_deadlock_is_an_error_that_names_who_waits() {
    async fn waits_for_ever() {
        pending::<()>().await;
    }
    let world = MemWorld::new();
    let main = |host: MemHost| async move { host.spawn(waits_for_ever()).await };
    let error = MemMachine::new(world.clone(), 1).run(vec![main]).unwrap_err().to_string();
    assert!(error.contains("waits_for_ever") && error.contains("core 0"), "{error}");
    assert!(matches!(world.last_run().unwrap().outcome, Outcome::Deadlock(tasks) if tasks.len() == 2));
}

#[test]
fn an_endless_loop_is_stopped_by_the_budget() {
    let main = |host: MemHost| async move {
        loop {
            host.yield_now().await;
        }
    };
    let error = MemMachine::new(MemWorld::new(), 1).poll_budget(1000).run(vec![main]).unwrap_err();
    assert!(error.to_string().contains("1000 polls"), "{error}");
}

#[test]
fn a_stopped_machine_drops_every_task_and_closes_its_sockets_and_locks() {
    struct Told(Arc<AtomicU64>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (world, dropped) = (MemWorld::new(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&dropped);
    let main = move |host: MemHost| async move {
        let _lock = host.lock(Path::new("/lock")).await.unwrap();
        let _listener = host.listen(([127, 0, 0, 1], 9000).into()).await.unwrap();
        let tasks: Vec<_> = (0..5).map(|_| (Told(Arc::clone(&count)), host.clone())).collect();
        for (told, task) in tasks {
            drop(host.spawn(async move {
                task.sleep(Duration::from_secs(3600)).await;
                drop(told);
            }));
        }
        pending::<()>().await;
    };
    let machine = MemMachine::new(world.clone(), 1).stop_after(Duration::from_millis(10));
    machine.run(vec![main]).unwrap();
    let report = world.last_run().unwrap();
    assert_eq!((report.outcome, report.elapsed), (Outcome::Stopped, Duration::from_millis(10)));
    assert_eq!(dropped.load(Ordering::Relaxed), 5);
    run(&world, 2, |host| async move {
        host.lock(Path::new("/lock")).await.unwrap();
        host.listen(([127, 0, 0, 1], 9000).into()).await.unwrap();
    });
}

#[test]
fn time_jumps_to_the_next_timer_and_moves_on_over_runs() {
    let world = MemWorld::new();
    let walls: Vec<i64> = (0..2)
        .map(|seed| {
            let wall = Arc::new(AtomicU64::new(0));
            let told = Arc::clone(&wall);
            run(&world, seed, move |host| async move {
                host.sleep(Duration::from_secs(100_000)).await;
                told.store(host.wall_ms() as u64, Ordering::Relaxed);
            });
            assert!(world.last_run().unwrap().polls < 10);
            wall.load(Ordering::Relaxed) as i64
        })
        .collect();
    assert!(walls[1] - walls[0] >= 100_000_000);
}
