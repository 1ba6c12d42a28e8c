//! Faults of cores: one stalls while the others go on, messages are late and in order, and a machine that is
//! killed again and again while it recovers keeps what was sure.

use super::{ALWAYS, BLOCK, world, write};
use crate::mem::{Faults, MemHost, MemMachine, Outcome};
use crate::{Access, Durability, File, Host, Machine, Receiver, Sender};
use flumen_model::limits::BLOCK_BYTES;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_core_that_stalls_runs_nothing_while_the_others_go_on() {
    let world = world(|faults| {
        faults.cores.stall = super::Chance::per_million(2_000);
        faults.cores.stall_most = Duration::from_secs(1);
    });
    let turns = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let main = || {
        let turns = Arc::clone(&turns);
        move |host: MemHost| async move {
            let me = host.core().0;
            // Two tasks each: a stall stops both.
            let (task, count) = (host.clone(), Arc::clone(&turns));
            drop(host.spawn(async move {
                loop {
                    task.sleep(Duration::from_millis(1)).await;
                    count[me].fetch_add(1, Ordering::Relaxed);
                }
            }));
            let (mut frozen, mut longest) = (0, Duration::ZERO);
            for _ in 0..5000 {
                let (before, start) = (turns[0].load(Ordering::Relaxed), host.now());
                let other = turns[1 - me].load(Ordering::Relaxed);
                host.sleep(Duration::from_millis(1)).await;
                let gap = host.now().since(start);
                longest = longest.max(gap);
                if me == 0 && gap > Duration::from_millis(50) {
                    // Our other task stood still, too; the other core did not.
                    assert!(turns[0].load(Ordering::Relaxed) - before <= 2);
                    frozen += u64::from(turns[1 - me].load(Ordering::Relaxed) - other > 20);
                }
            }
            assert!(longest > Duration::from_millis(100) && longest < Duration::from_millis(2100));
            assert!(me == 1 || frozen > 2, "{frozen} stalls beside a core that went on");
        }
    };
    MemMachine::new(world.clone(), 5).run(vec![main(), main()]).unwrap();
    assert!(world.fired()["core_stall"] > 20);
}

#[test]
fn late_messages_stay_in_order_and_none_is_lost() {
    let world = world(|faults| {
        faults.cores.late_message = super::Chance::per_million(100_000);
        faults.cores.late_message_most = Duration::from_millis(100);
    });
    let mut machine = MemMachine::new(world.clone(), 5);
    let (tx, rx) = machine.channel::<(u64, u64)>(8);
    let halves = Arc::new(Mutex::new((Some(tx), Some(rx))));
    let main = || {
        let halves = Arc::clone(&halves);
        move |host: MemHost| async move {
            if host.core().0 == 0 {
                let half = halves.lock().unwrap().0.take().unwrap();
                let tx = host.sender(half).await;
                for n in 0..500 {
                    tx.send((n, host.now().0)).await.unwrap();
                }
                return;
            }
            let half = halves.lock().unwrap().1.take().unwrap();
            let rx = host.receiver(half).await;
            let (mut next, mut late) = (0, 0);
            while let Some((n, sent)) = rx.recv().await {
                assert_eq!(n, next);
                next += 1;
                late += u32::from(host.now().0 - sent >= 1_000_000);
            }
            assert_eq!(next, 500, "the end comes after the last");
            assert!(late > 20, "{late} were late");
        }
    };
    machine.run(vec![main(), main()]).unwrap();
    assert!(world.fired()["late_message"] > 20);
}

#[test]
fn a_stalled_machine_heals_and_a_stall_of_everybody_ends() {
    let world = world(|faults| {
        faults.cores.stall = ALWAYS.at_most(2);
        faults.cores.stall_most = Duration::from_secs(3);
    });
    let main = |host: MemHost| async move {
        host.world().set_faults(Faults::default());
        host.sleep(Duration::from_millis(1)).await;
    };
    MemMachine::new(world.clone(), 1).run(vec![main, main]).unwrap();
    assert_eq!(world.last_run().unwrap().outcome, Outcome::Finished);
    assert!(world.fired()["core_stall"] >= 1);
}

/// Reads what is there, as a recovery does, and goes on behind it; tells how far it was sure.
async fn recover_and_append(host: MemHost, sure: Arc<[AtomicU64; 2]>) {
    let me = host.core().0;
    let path = format!("/log-{me}");
    let file = host.open(Path::new(&path), Access::DURABLE).await.unwrap();
    host.sync_dir(Path::new("/")).await.unwrap();
    let size = file.size().unwrap();
    let mut next = 0;
    while next * BLOCK < size {
        let bytes = file.read_at(next * BLOCK, BLOCK_BYTES).await.unwrap();
        if bytes.len() < BLOCK_BYTES || bytes.iter().any(|b| *b != next as u8 + 1) {
            break;
        }
        next += 1;
    }
    assert!(next >= sure[me].load(Ordering::Relaxed), "core {me} found {next}");
    for n in next..250 {
        write(&host, &file, n, n as u8 + 1, Durability::Durable).await.unwrap();
        sure[me].store(n + 1, Ordering::Relaxed);
    }
}

#[test]
fn killing_all_cores_with_power_loss_again_and_again_while_they_recover_loses_nothing_sure() {
    for seed in 0..8 {
        let world = world(|faults| {
            faults.disk.shaped_crashes = true;
            faults.cores.stall = super::Chance::per_million(10_000);
            faults.cores.stall_most = Duration::from_millis(20);
        });
        let sure = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let main = || {
            let sure = Arc::clone(&sure);
            move |host: MemHost| recover_and_append(host, sure)
        };
        let mut round = 0;
        loop {
            // Longer and longer, or it would never be done.
            let polls = 3 + (seed * 37 + round * 61) % 400 + round * 30;
            let machine = MemMachine::new(world.clone(), seed * 1000 + round).stop_after_polls(polls);
            machine.run(vec![main(), main()]).unwrap();
            if world.last_run().unwrap().outcome == Outcome::Finished {
                break;
            }
            world.crash(seed * 1000 + round);
            round += 1;
        }
        assert!(round > 3 && world.fired()["crash"] == round, "{round} power losses");
        assert_eq!(sure[0].load(Ordering::Relaxed), 250);
    }
}
