//! Time since the start of a run, as the drivers see it. Tests bring a clock of their own, so that none depends on
//! how busy the machine is.

use std::time::{Duration, Instant};

/// A clock that only runs forward.
pub(super) trait Clock {
    /// The time since it started.
    fn now(&mut self) -> Duration;
}

/// The machine's clock.
pub(super) struct Wall(Instant);

impl Wall {
    /// Starts now.
    pub(super) fn start() -> Wall {
        Wall(Instant::now())
    }
}

impl Clock for Wall {
    fn now(&mut self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock of a test: a microsecond passes whenever it is read, more when somebody says so.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Fake(std::rc::Rc<std::cell::Cell<Duration>>);

#[cfg(test)]
impl Fake {
    pub(super) fn pass(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }

    pub(super) fn read(&self) -> Duration {
        self.0.get()
    }
}

#[cfg(test)]
impl Clock for Fake {
    fn now(&mut self) -> Duration {
        self.pass(Duration::from_micros(1));
        self.0.get()
    }
}
