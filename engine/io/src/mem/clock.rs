//! The clocks of the simulated machine: a wall clock that may jump, and each core's own monotonic clock that may
//! be ahead and drift. Reads the one simulated time that the executor keeps; never moves it.

use super::fate::{Fate, Fault};
use std::cell::Cell;

/// The wall clock of the first simulated boot: 2025-01-01.
const WALL_START_MS: i64 = 1_735_689_600_000;
const MILLION: i128 = 1_000_000;
/// Faster or slower than this would be another machine.
const DRIFT_PPM_MOST: u32 = 500_000;

/// The wall clock of the machine, which lives over its runs.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    error_ms: Cell<i64>,
}

impl WallClock {
    /// Milliseconds since the Unix epoch, as far as this clock knows. Jumps when it is time to.
    pub(super) fn read(&self, fate: &Fate) -> i64 {
        let jump = fate.faults().clock.wall_jump;
        if fate.is_due(Fault::WallJump, jump) {
            self.jump(fate);
        }
        WALL_START_MS + (fate.now() / 1_000_000) as i64 + self.error_ms.get()
    }

    fn jump(&self, fate: &Fate) {
        let most = fate.faults().clock.wall_error_most;
        let error = (fate.tail_nanos(Fault::WallJump, most) / 1_000_000) as i64;
        let error = if fate.coin(Fault::WallJump) { error } else { -error };
        let before = self.error_ms.replace(error);
        fate.happened(Fault::WallJump, error as u64, || format!("{} ms, to {error} ms", error - before));
    }
}

/// One core's monotonic clock, for one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoreClock {
    start: u64,
    ahead: u64,
    drift_ppm: i64,
}

impl CoreClock {
    /// Draws how far a core's clock is off, when a run begins.
    pub(super) fn draw(fate: &Fate, core: usize) -> CoreClock {
        let (ahead_most, drift_most) = {
            let faults = fate.faults();
            let ahead = faults.clock.core_ahead_most.as_nanos().min(u128::from(u64::MAX / 4)) as u64;
            (ahead, u64::from(faults.clock.core_drift_ppm_most.min(DRIFT_PPM_MOST)))
        };
        let mut clock = CoreClock { start: fate.now(), ahead: 0, drift_ppm: 0 };
        if (ahead_most, drift_most) != (0, 0) {
            clock.ahead = fate.below(Fault::CoreClock, ahead_most + 1);
            clock.drift_ppm = fate.below(Fault::CoreClock, 2 * drift_most + 1) as i64 - drift_most as i64;
            fate.happened(Fault::CoreClock, clock.ahead, || {
                format!("core {core} is {} ns ahead and drifts {} ppm", clock.ahead, clock.drift_ppm)
            });
        }
        clock
    }

    /// What the clock shows at a moment of the simulated time. Never less than before.
    pub(super) fn read(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.start);
        let drift = i128::from(passed) * i128::from(self.drift_ppm) / MILLION;
        (i128::from(now) + i128::from(self.ahead) + drift).clamp(0, i128::from(u64::MAX)) as u64
    }

    /// How long of the simulated time a wait of this clock takes: never so short that the clock shows less.
    pub(super) fn simulated(&self, wait: u64) -> u64 {
        if self.drift_ppm == 0 {
            return wait;
        }
        let wait = i128::from(wait) * MILLION / (MILLION + i128::from(self.drift_ppm)) + 2;
        wait.min(i128::from(u64::MAX)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drifting_clock_never_goes_back_and_never_shows_less_than_a_timer_waited() {
        for drift_ppm in [-500_000, -333, -1, 0, 1, 77, 500_000] {
            let clock = CoreClock { start: 1000, ahead: 77, drift_ppm };
            let mut before = 0;
            for now in (1000..5_000_000).step_by(997) {
                assert!(clock.read(now) >= before);
                before = clock.read(now);
                for wait in [0, 1, 999, 1_000_003] {
                    let shown = clock.read(now + clock.simulated(wait)) - clock.read(now);
                    assert!(shown >= wait, "{drift_ppm} ppm: {shown} after {wait}");
                }
            }
        }
    }
}
