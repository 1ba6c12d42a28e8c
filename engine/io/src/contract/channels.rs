//! What channels between cores owe.

use super::{Stage, main_of};
use crate::local::join2;
use crate::{Host, Machine, Receiver, Sender, TrySend};
use std::time::Duration;

/// Larger than any host's smallest channel.
const CAPACITY: usize = 256;

pub(crate) fn values_arrive_in_order<M: Machine>(mut stage: Stage<M>) {
    let (tx, rx) = stage.machine.channel::<u64>(CAPACITY);
    stage.run(vec![
        main_of(move |host: M::Host| async move {
            let tx = host.sender(tx).await;
            for n in 0..5000 {
                tx.send(n).await.unwrap();
            }
        }),
        main_of(move |host: M::Host| async move {
            let rx = host.receiver(rx).await;
            for n in 0..5000 {
                assert_eq!(rx.recv().await, Some(n));
            }
            assert_eq!(rx.recv().await, None);
        }),
    ]);
}

pub(crate) fn a_full_channel_pushes_back<M: Machine>(mut stage: Stage<M>) {
    let (tx, rx) = stage.machine.channel::<usize>(CAPACITY);
    let (go_tx, go_rx) = stage.machine.channel::<()>(1);
    stage.run(vec![
        main_of(move |host: M::Host| async move {
            let (tx, go) = join2(host.sender(tx), host.sender(go_tx)).await;
            let taken = (0..).take_while(|n| tx.try_send(*n).is_ok()).count();
            assert!((CAPACITY..2 * CAPACITY).contains(&taken), "took {taken}");
            assert_eq!(tx.try_send(taken), Err(TrySend::Full(taken)));
            go.send(()).await.unwrap();
            tx.send(taken).await.unwrap();
        }),
        main_of(move |host: M::Host| async move {
            let (rx, go) = join2(host.receiver(rx), host.receiver(go_rx)).await;
            go.recv().await.unwrap();
            host.sleep(Duration::from_millis(5)).await;
            let mut expected = 0;
            while let Some(n) = rx.recv().await {
                assert_eq!(n, expected);
                expected += 1;
            }
            assert!(expected > CAPACITY);
        }),
    ]);
}

pub(crate) fn waiting_senders_all_get_through<M: Machine>(mut stage: Stage<M>) {
    const TASKS: u64 = 8;
    const EACH: u64 = 400;
    let (tx, rx) = stage.machine.channel::<(u64, u64)>(CAPACITY);
    stage.run(vec![
        main_of(move |host: M::Host| async move {
            let tx = host.sender(tx).await;
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let tx = tx.clone();
                    host.spawn(async move {
                        for n in 0..EACH {
                            tx.send((task, n)).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
        }),
        main_of(move |host: M::Host| async move {
            let rx = host.receiver(rx).await;
            host.sleep(Duration::from_millis(5)).await;
            let mut next = [0; TASKS as usize];
            while let Some((task, n)) = rx.recv().await {
                assert_eq!(n, next[task as usize], "each task's own order is kept");
                next[task as usize] += 1;
            }
            assert_eq!(next, [EACH; TASKS as usize]);
        }),
    ]);
}

pub(crate) fn a_gone_receiver_gives_values_back<M: Machine>(mut stage: Stage<M>) {
    let (tx, rx) = stage.machine.channel::<u64>(CAPACITY);
    stage.run(vec![
        main_of(move |host: M::Host| async move {
            let tx = host.sender(tx).await;
            // Fills the channel and then waits, so that the receiver goes while it is full.
            let mut n = 0;
            while tx.send(n).await.is_ok() {
                n += 1;
            }
            assert_eq!(tx.send(7).await, Err(7));
            assert_eq!(tx.try_send(8), Err(TrySend::Gone(8)));
        }),
        main_of(move |host: M::Host| async move {
            let rx = host.receiver(rx).await;
            assert_eq!(rx.recv().await, Some(0));
            host.sleep(Duration::from_millis(10)).await;
            drop(rx);
        }),
    ]);
}

pub(crate) fn the_end_comes_after_the_last_value<M: Machine>(mut stage: Stage<M>) {
    let (tx, rx) = stage.machine.channel::<String>(CAPACITY);
    stage.run(vec![
        main_of(move |host: M::Host| async move {
            let tx = host.sender(tx).await;
            let clone = tx.clone();
            tx.try_send("one".into()).unwrap();
            drop(tx);
            clone.try_send("two".into()).unwrap();
        }),
        main_of(move |host: M::Host| async move {
            let rx = host.receiver(rx).await;
            host.sleep(Duration::from_millis(2)).await;
            let all = [rx.recv().await, rx.recv().await, rx.recv().await, rx.recv().await];
            assert_eq!(all, [Some("one".into()), Some("two".into()), None, None]);
        }),
    ]);
}

pub(crate) fn ten_thousand_round_trips_between_cores<M: Machine>(mut stage: Stage<M>) {
    const ROUNDS: u64 = 10_000;
    let (there_tx, there_rx) = stage.machine.channel::<u64>(CAPACITY);
    let (back_tx, back_rx) = stage.machine.channel::<u64>(CAPACITY);
    stage.run(vec![
        main_of(move |host: M::Host| async move {
            let (tx, rx) = join2(host.sender(there_tx), host.receiver(back_rx)).await;
            for n in 0..ROUNDS {
                tx.send(n).await.unwrap();
                assert_eq!(rx.recv().await, Some(n + 1));
            }
        }),
        main_of(move |host: M::Host| async move {
            let (rx, tx) = join2(host.receiver(there_rx), host.sender(back_tx)).await;
            while let Some(n) = rx.recv().await {
                tx.send(n + 1).await.unwrap();
            }
        }),
    ]);
}
