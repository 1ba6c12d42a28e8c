//! Progress bars: on standard error, and only when that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar that counts bytes.
pub(crate) fn bytes(what: &'static str, total: u64) -> ProgressBar {
    bar(what, total, "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

/// A bar of a hundredth of a percent each step, with a message.
pub(crate) fn share(what: &'static str) -> ProgressBar {
    bar(what, SHARE_MAX, "{prefix} {wide_bar} {percent}% {msg}")
}

/// The steps of [`share`].
pub(crate) const SHARE_MAX: u64 = 10_000;

fn bar(what: &'static str, total: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    // A few times a second: what is measured meanwhile should not pay for the drawing.
    let target = ProgressDrawTarget::stderr_with_hz(5);
    ProgressBar::with_draw_target(Some(total), target).with_style(style).with_prefix(what)
}
