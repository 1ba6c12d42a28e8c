//! Where the time goes in a part that missed its limit: one more run of it under the kernel's profiler, where that
//! is installed. It must never run beside a measured round.

use crate::floor::Stage;
use crate::measure::Part;
use flumen_model::error::Result;
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Samples a second and thread: a prime, so as not to march in step with timers.
const HERTZ: &str = "997";
/// Lines of a profile that are kept: what is below them is noise.
const LINES_MAX: usize = 40;

/// Where the time went in one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The part.
    pub part: String,
    /// The hottest functions, one a line; or why there is no profile.
    pub text: String,
}

/// Runs `part` once more for `length` and says where the time went, in this process and those watched.
pub fn of(part: &mut dyn Part, stage: &Stage, length: Duration) -> Result<Profile> {
    let data = stage.path().join("perf.data");
    let pids = part.pids().into_iter().chain([std::process::id()]);
    let pids = pids.map(|pid| pid.to_string()).collect::<Vec<_>>().join(",");
    let recording = Command::new("perf")
        .args(["record", "--quiet", "--freq", HERTZ, "--output"])
        .arg(&data)
        .args(["--pid", &pids, "--", "sleep", &length.as_secs_f64().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut recording = match recording {
        Ok(recording) => recording,
        Err(error) => {
            let text = format!("no profile: perf cannot be started ({error}); install it and run again");
            return Ok(Profile { part: part.name().to_owned(), text });
        }
    };
    let ran = part.run(length);
    let ended = recording.wait().is_ok_and(|status| status.success());
    ran?;
    let text =
        if ended { report(&data) } else { "no profile: perf could not record (is it permitted?)".to_owned() };
    Ok(Profile { part: part.name().to_owned(), text })
}

fn report(data: &std::path::Path) -> String {
    let args =
        ["report", "--stdio", "--no-children", "--sort", "comm,dso,symbol", "--percent-limit", "0.5", "-i"];
    let output = Command::new("perf").args(args).arg(data).stderr(Stdio::null()).output();
    let output =
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    hottest(&output)
}

/// The lines of a report that tell something.
fn hottest(report: &str) -> String {
    let lines = report.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let kept: Vec<&str> = lines.take(LINES_MAX).collect();
    if kept.is_empty() { "no profile: perf recorded no sample".to_owned() } else { kept.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::blocking::Blocking;
    use crate::floor::{FileSizes, Pins};

    #[test]
    fn a_profile_keeps_the_hottest_lines_without_the_heading() {
        let report = format!("# To display\n#\n\n    41.20%  a  [k] write  \n{}", "  1%  b\n".repeat(100));
        let kept = hottest(&report);
        assert!(kept.starts_with("    41.20%  a  [k] write\n"), "{kept}");
        assert_eq!(kept.lines().count(), LINES_MAX);
        assert!(hottest("# nothing\n").starts_with("no profile"));
    }

    #[test]
    fn a_part_is_run_once_more_with_or_without_a_profiler() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let stage = Stage::build(dir.path(), Pins::choose(&[]).unwrap(), None, FileSizes::TINY).unwrap();
        let stage = std::sync::Arc::new(stage);
        let mut part = Blocking::round_trip(&stage);
        let profile = of(&mut part, &stage, Duration::from_millis(300)).unwrap();
        assert_eq!(profile.part, "round_trip");
        assert!(profile.text.starts_with("no profile: ") || profile.text.contains('%'), "{}", profile.text);
    }
}
