//! The story of a run: its last events as readable lines, for a seed that failed. Kept only when somebody asked
//! for it; decides nothing and is no part of the trace.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Display;

/// How many lines are kept.
const LINES_MAX: usize = 400;

/// The last lines, and who acts now.
#[derive(Debug, Default)]
pub(super) struct Story {
    on: Cell<bool>,
    core: Cell<Option<usize>>,
    lines: RefCell<VecDeque<String>>,
}

impl Story {
    pub(super) fn set(&self, on: bool) {
        self.on.set(on);
    }

    pub(super) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Whose task runs; `None` is the machine itself.
    pub(super) fn set_core(&self, core: Option<usize>) {
        self.core.set(core);
    }

    /// Adds a line, at a simulated time in nanoseconds.
    pub(super) fn add(&self, now: u64, what: impl Display) {
        let who = self.core.get().map_or_else(|| "machine".to_owned(), |core| format!("core {core}"));
        let line = format!("{:>6}.{:09} {who:<8} {what}", now / 1_000_000_000, now % 1_000_000_000);
        let mut lines = self.lines.borrow_mut();
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Takes the lines.
    pub(super) fn take(&self) -> Vec<String> {
        self.lines.borrow_mut().drain(..).collect()
    }
}
