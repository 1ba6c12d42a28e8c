//! Tests of the one-core primitives, on the simulated machine, and by hand where the exact poll matters.

use crate::local::{Either, LocalQueue, Notify, select2};
use crate::mem::{MemHost, MemMachine, MemWorld};
use crate::{Host, Machine};
use std::cell::RefCell;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn simulated<F: Future<Output = ()> + 'static>(main: impl FnOnce(MemHost) -> F + Send + Copy + 'static) {
    for seed in 0..20 {
        MemMachine::new(MemWorld::new(), seed).run(vec![main]).unwrap();
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn notify_one_wakes_in_the_order_of_waiting() {
    simulated(|host| async move {
        let (notify, order) = (Rc::new(Notify::new()), Rc::new(RefCell::new(Vec::new())));
        let mut tasks = Vec::new();
        for n in 0..5 {
            let (notify, order) = (Rc::clone(&notify), Rc::clone(&order));
            tasks.push(host.spawn(async move {
                notify.notified().await;
                order.borrow_mut().push(n);
            }));
            host.sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..5 {
            notify.notify_one();
            host.sleep(Duration::from_millis(1)).await;
        }
        for task in tasks {
            task.await;
        }
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_wake_up_with_nobody_waiting_is_kept_once() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_one();
    assert!(poll_once(&mut pin!(notify.notified())).is_ready());
    assert!(poll_once(&mut pin!(notify.notified())).is_pending());
    notify.notify_all();
    assert!(poll_once(&mut pin!(notify.notified())).is_pending(), "waking all keeps nothing");
}

#[test]
fn notify_all_reaches_every_wait_that_was_begun_before_it_and_no_later_one() {
    let notify = Notify::new();
    let mut polled = Box::pin(notify.notified());
    assert!(poll_once(&mut polled).is_pending());
    let mut unpolled = Box::pin(notify.notified());
    notify.notify_all();
    let mut later = Box::pin(notify.notified());
    assert!(poll_once(&mut polled).is_ready());
    assert!(poll_once(&mut unpolled).is_ready(), "begun before, polled after");
    assert!(poll_once(&mut later).is_pending());
}

#[test]
fn a_dropped_waiter_passes_its_wake_up_on() {
    let notify = Notify::new();
    let (mut first, mut second) = (Box::pin(notify.notified()), Box::pin(notify.notified()));
    assert!(poll_once(&mut first).is_pending() && poll_once(&mut second).is_pending());
    notify.notify_one();
    drop(first);
    assert!(poll_once(&mut second).is_ready(), "the wake-up of the dropped one");
    let mut third = Box::pin(notify.notified());
    assert!(poll_once(&mut third).is_pending());
    drop(third);
    notify.notify_one();
    assert!(
        poll_once(&mut pin!(notify.notified())).is_ready(),
        "a waiter dropped unwoken takes nothing along"
    );
}

#[test]
fn a_bounded_queue_keeps_order_and_makes_writers_wait() {
    simulated(|host| async move {
        let queue = LocalQueue::bounded(3);
        let writing = queue.clone();
        let writer = host.spawn(async move {
            for n in 0..100 {
                writing.push(n).await.unwrap();
                assert!(writing.len() <= 3);
            }
            writing.close();
        });
        host.sleep(Duration::from_millis(1)).await;
        assert_eq!((queue.len(), queue.try_push(7)), (3, Err(7)));
        let mut got = Vec::new();
        while let Some(n) = queue.pop().await {
            got.push(n);
        }
        assert_eq!(got, (0..100).collect::<Vec<_>>());
        writer.await;
    });
}

#[test]
fn several_readers_share_a_queue_without_losing_items() {
    simulated(|host| async move {
        let (queue, got) = (LocalQueue::unbounded(), Rc::new(RefCell::new(Vec::new())));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, got) = (queue.clone(), Rc::clone(&got));
                host.spawn(async move {
                    while let Some(n) = queue.pop().await {
                        got.borrow_mut().push(n);
                    }
                })
            })
            .collect();
        for n in 0..50 {
            queue.try_push(n).unwrap();
            if n % 7 == 0 {
                host.yield_now().await;
            }
        }
        queue.close();
        for reader in readers {
            reader.await;
        }
        got.borrow_mut().sort_unstable();
        assert_eq!(*got.borrow(), (0..50).collect::<Vec<_>>());
    });
}

#[test]
fn closing_wakes_readers_and_writers() {
    simulated(|host| async move {
        let full = LocalQueue::bounded(1);
        full.try_push(1).unwrap();
        let (writing, empty) = (full.clone(), LocalQueue::<u8>::unbounded());
        let reading = empty.clone();
        let writer = host.spawn(async move { writing.push(2).await });
        let reader = host.spawn(async move { reading.pop().await });
        host.sleep(Duration::from_millis(1)).await;
        full.close();
        empty.close();
        assert_eq!((writer.await, reader.await), (Err(2), None));
        assert_eq!((full.pop().await, full.pop().await), (Some(1), None), "what was inside comes out");
    });
}

#[test]
fn the_first_of_two_wins_a_draw() {
    let mut race = pin!(select2(ready(1), ready(2)));
    assert_eq!(poll_once(&mut race), Poll::Ready(Either::Left(1)));
    let mut race = pin!(select2(pending::<()>(), ready(2)));
    assert_eq!(poll_once(&mut race), Poll::Ready(Either::Right(2)));
}
