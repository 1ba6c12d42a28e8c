//! Faults of clocks and timers: what jumps, what drifts, what is late, and what never happens all the same.

use super::{ALWAYS, run, world};
use crate::Host;
use crate::mem::{Faults, MemHost, MemMachine, Pace};
use crate::{Machine, Mono};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn the_wall_clock_jumps_both_ways_within_its_bound_and_the_other_clock_does_not() {
    let bound = Duration::from_secs(7200);
    let world = world(|faults| {
        faults.clock.wall_jump = Pace::every(Duration::from_secs(60));
        faults.clock.wall_error_most = bound;
    });
    run(&world, 3, move |host| async move {
        let (start, mono) = (host.wall_ms(), host.now());
        let (mut back, mut ahead, mut last) = (0, 0, start);
        for _ in 0..1000 {
            host.sleep(Duration::from_secs(10)).await;
            let wall = host.wall_ms();
            back += u32::from(wall < last);
            ahead += u32::from(wall > last + 11_000);
            last = wall;
            let error = wall - start - host.now().since(mono).as_millis() as i64;
            assert!(error.unsigned_abs() <= bound.as_millis() as u64 + 1, "{error} ms wrong");
        }
        assert!(back > 20 && ahead > 20, "{back} back, {ahead} ahead");
        assert!((100..300).contains(&host.world().fired()["wall_jump"]));
    });
}

#[test]
fn each_core_has_a_clock_of_its_own_whose_timers_are_never_early() {
    let world = world(|faults| {
        faults.clock.core_ahead_most = Duration::from_millis(50);
        faults.clock.core_drift_ppm_most = 200;
    });
    let shown: Arc<Mutex<Vec<(Mono, Mono)>>> = Arc::default();
    let main = || {
        let shown = Arc::clone(&shown);
        move |host: MemHost| async move {
            let start = host.now();
            host.sleep(Duration::from_secs(1000)).await;
            assert!(host.now().since(start) >= Duration::from_secs(1000));
            assert!(host.now().since(start) < Duration::from_secs(1001));
            shown.lock().unwrap().push((start, host.now()));
        }
    };
    MemMachine::new(world.clone(), 1).run(vec![main(), main(), main()]).unwrap();
    let shown = shown.lock().unwrap();
    let spread = |times: &dyn Fn(&(Mono, Mono)) -> u64| {
        shown.iter().map(times).max().unwrap() - shown.iter().map(times).min().unwrap()
    };
    let apart = spread(&|(start, _)| start.0);
    assert!((100_000..=51_000_000).contains(&apart), "{apart} ns apart at the start");
    assert_eq!(world.fired()["core_clock"], 3);
    // Each waited the same by its own clock, so by the true time they did not end together.
    let elapsed = world.last_run().unwrap().elapsed;
    assert!(elapsed > Duration::from_millis(1_000_010), "somebody's clock was slow: {elapsed:?}");
}

#[test]
fn timers_fire_late_with_a_tail_and_never_early() {
    let world = world(|faults| {
        faults.clock.late_timer = ALWAYS;
        faults.clock.late_timer_most = Duration::from_secs(2);
    });
    run(&world, 2, |host| async move {
        let mut late = Vec::new();
        for _ in 0..50 {
            let start = host.now();
            host.sleep(Duration::from_millis(10)).await;
            late.push(host.now().since(start) - Duration::from_millis(10));
        }
        late.sort();
        assert!(late[0] >= Duration::from_millis(1) && late[49] <= Duration::from_millis(2001));
        assert!(late[25] < Duration::from_millis(200) && late[49] > Duration::from_millis(500), "{late:?}");
        assert_eq!(host.world().fired()["late_timer"], 50);
        host.world().set_faults(Faults::default());
        let start = host.now();
        host.sleep(Duration::from_millis(10)).await;
        assert!(host.now().since(start) < Duration::from_millis(11));
    });
}
