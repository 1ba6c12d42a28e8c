//! What tasks, timers, clocks and chance owe.

use super::Stage;
use crate::local::{Elapsed, timeout};
use crate::{Core, Host, Machine};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

pub(crate) fn timers_fire_in_order_and_never_early<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let fired = Rc::new(RefCell::new(Vec::new()));
        let waits: Vec<_> = [60u64, 5, 35, 20, 0]
            .into_iter()
            .map(|ms| {
                let (task, fired) = (host.clone(), Rc::clone(&fired));
                host.spawn(async move {
                    let start = task.now();
                    task.sleep(Duration::from_millis(ms)).await;
                    assert!(task.now().since(start) >= Duration::from_millis(ms), "{ms} ms were early");
                    fired.borrow_mut().push(ms);
                })
            })
            .collect();
        for wait in waits {
            wait.await;
        }
        assert_eq!(*fired.borrow(), [0, 5, 20, 35, 60]);
    });
}

pub(crate) fn a_task_runs_unwatched_and_gives_its_value<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        assert_eq!(host.core(), Core(0));
        let ran = Rc::new(Cell::new(false));
        let (task, flag) = (host.clone(), Rc::clone(&ran));
        drop(host.spawn(async move {
            task.sleep(Duration::from_millis(1)).await;
            flag.set(true);
        }));
        super::eventually(&host, "the unwatched task", || ran.get()).await;
        assert_eq!(host.spawn(async { 41 + 1 }).await, 42);
    });
}

pub(crate) fn spawn_does_not_run_on_the_callers_stack<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let shared = Rc::new(RefCell::new(0));
        let task = Rc::clone(&shared);
        let wait = {
            let mut borrowed = shared.borrow_mut();
            let wait = host.spawn(async move { *task.borrow_mut() += 1 });
            *borrowed += 1;
            wait
        };
        wait.await;
        assert_eq!(*shared.borrow(), 2);
    });
}

pub(crate) fn yielding_loops_starve_nobody<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let stop = Rc::new(Cell::new(false));
        let rounds = Rc::new([Cell::new(0u64), Cell::new(0)]);
        let loops: Vec<_> = (0..2)
            .map(|n| {
                let (task, stop, rounds) = (host.clone(), Rc::clone(&stop), Rc::clone(&rounds));
                host.spawn(async move {
                    while !stop.get() {
                        rounds[n].set(rounds[n].get() + 1);
                        task.yield_now().await;
                    }
                })
            })
            .collect();
        let start = host.now();
        host.sleep(Duration::from_millis(20)).await;
        assert!(host.now().since(start) < Duration::from_secs(5), "the timer came through");
        let (a, b) = (rounds[0].get(), rounds[1].get());
        assert!(a > 10 && b > 10 && a < 10 * b && b < 10 * a, "{a} and {b} rounds are not fair");
        stop.set(true);
        for wait in loops {
            wait.await;
        }
    });
}

pub(crate) fn chance_and_clocks_move<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let draws: Vec<u64> = (0..8).map(|_| host.entropy()).collect();
        assert!(draws.windows(2).all(|pair| pair[0] != pair[1]), "chance repeats itself");
        let (mono, wall) = (host.now(), host.wall_ms());
        host.sleep(Duration::from_millis(30)).await;
        assert!(host.now().since(mono) >= Duration::from_millis(30));
        // A real wall clock may be set in between; then this one run in a lifetime is wrong.
        assert!(host.wall_ms() > wall && wall > 1_600_000_000_000);
    });
}

pub(crate) fn a_time_limit_ends_a_wait<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let long = timeout(&host, Duration::from_millis(5), host.sleep(Duration::from_secs(3600))).await;
        assert_eq!(long, Err(Elapsed));
        let short = timeout(&host, Duration::from_secs(3600), async { 7 }).await;
        assert_eq!(short, Ok(7));
    });
}
