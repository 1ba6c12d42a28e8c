//! The last things that happened, as lines for a person. Costs nothing when nobody listens.

use std::collections::VecDeque;

/// Lines that are kept.
const LINES_MAX: usize = 80;

/// A story.
#[derive(Debug, Default)]
pub struct Story {
    listens: bool,
    aloud: bool,
    lines: VecDeque<String>,
}

impl Story {
    /// Nobody listens.
    pub fn silent() -> Story {
        Story::default()
    }

    /// Keeps the last lines.
    pub fn kept() -> Story {
        Story { listens: true, ..Story::default() }
    }

    /// Keeps the last lines, and prints all of them.
    pub fn aloud() -> Story {
        Story { listens: true, aloud: true, ..Story::default() }
    }

    /// Whether anybody listens.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Something happened at a moment, in nanoseconds.
    #[allow(clippy::print_stdout)]
    pub fn say(&mut self, now: u64, what: impl FnOnce() -> String) {
        if !self.listens {
            return;
        }
        let line = format!("{:>11.6} s  {}", now as f64 / 1e9, what());
        if self.aloud {
            println!("{line}");
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last lines.
    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
