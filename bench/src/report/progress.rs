//! The progress bar: which part runs, how long it will take. On a terminal only; it must never write where a
//! program reads.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A bar over all runs of all parts.
pub struct Progress(ProgressBar);

impl Progress {
    /// Over `parts` in `rounds`. Hidden when `quiet` or when standard error is no terminal.
    pub fn new(parts: usize, rounds: usize, quiet: bool) -> Progress {
        // indicatif hides the bar itself where standard error is no terminal.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some((parts * rounds) as u64), target);
        let style = ProgressStyle::with_template("{msg:32} {wide_bar:.blue} {pos}/{len}  {eta:>4} left");
        bar.set_style(style.expect("a constant template").progress_chars("━━─"));
        Progress(bar)
    }

    /// Something that takes a while and has no end that is known. Hidden like a bar.
    pub fn waiting(text: &'static str, quiet: bool) -> Progress {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let spinner = ProgressBar::with_draw_target(None, target);
        spinner.set_message(text);
        spinner.enable_steady_tick(Duration::from_millis(200));
        Progress(spinner)
    }

    /// A part is about to run, or (before the first) to be set up.
    pub fn says(&self, text: String) {
        self.0.set_message(text);
    }

    /// A part is about to run in a round (from 0).
    pub fn part(&self, done: usize, round: usize, name: &str) {
        self.0.set_position(done as u64);
        self.0.set_message(format!("round {}: {name}", round + 1));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
