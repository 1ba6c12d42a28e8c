//! What a run stood on: kernel, CPUs, memory, disk and filesystem, read from the kernel's own files. A fact that
//! the kernel does not tell is `unknown`; it must never be guessed.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The machine under a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `Linux 6.18.44`.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The disk under the data: `vda, scheduler mq-deadline, write back cache, no FUA`.
    pub disk: String,
    /// Its `major:minor`, to find its counters; empty when unknown.
    pub device: String,
    /// `ext4 (rw,relatime)`.
    pub filesystem: String,
}

impl Facts {
    /// Reads the facts; `dir` says which disk and filesystem are meant.
    pub fn read(dir: &Path, cpus: usize) -> Facts {
        let mounts = text("/proc/self/mountinfo");
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let mount = Mount::under(&mounts, &dir);
        let device = mount.as_ref().map_or(String::new(), |mount| mount.device.to_owned());
        Facts {
            kernel: format!("Linux {}", or_unknown(text("/proc/sys/kernel/osrelease").trim())),
            cpu: or_unknown(field(&text("/proc/cpuinfo"), "model name")),
            cpus,
            memory_bytes: kilobytes(field(&text("/proc/meminfo"), "MemTotal")),
            disk: mount.as_ref().map_or_else(|| "unknown".into(), |mount| disk(mount)),
            filesystem: mount.map_or_else(|| "unknown".into(), |m| format!("{} ({})", m.kind, m.options)),
            device,
        }
    }

    /// Names and values, for tables.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("kernel", self.kernel.clone()),
            ("processor", self.cpu.clone()),
            ("CPUs allowed", self.cpus.to_string()),
            ("memory", super::units::bytes(self.memory_bytes as f64)),
            ("disk", self.disk.clone()),
            ("filesystem", self.filesystem.clone()),
        ]
    }
}

/// One line of `/proc/self/mountinfo` (kernel: `Documentation/filesystems/proc.rst`).
struct Mount<'a> {
    device: &'a str,
    options: &'a str,
    kind: &'a str,
    source: &'a str,
}

impl<'a> Mount<'a> {
    /// The mount that `path` lies in: the longest mount point above it, the last of equals.
    fn under(mounts: &'a str, path: &Path) -> Option<Mount<'a>> {
        let above = mounts.lines().filter_map(Mount::parse).filter(|(point, _)| path.starts_with(point));
        above.max_by_key(|(point, _)| point.len()).map(|(_, mount)| mount)
    }

    fn parse(line: &'a str) -> Option<(&'a str, Mount<'a>)> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(2);
        let (device, _root, point, options) = (front.next()?, front.next()?, front.next()?, front.next()?);
        let mut back = back.split(' ');
        Some((point, Mount { device, options, kind: back.next()?, source: back.next()? }))
    }
}

/// A block device in words. A partition's queue is its parent's.
fn disk(mount: &Mount<'_>) -> String {
    let node = format!("/sys/dev/block/{}", mount.device);
    let queue = |name: &str| {
        let own = text(&format!("{node}/queue/{name}"));
        let found = if own.is_empty() { text(&format!("{node}/../queue/{name}")) } else { own };
        found.trim().to_owned()
    };
    let name = mount.source.rsplit('/').next().unwrap_or(mount.source);
    let schedulers = queue("scheduler");
    let scheduler = schedulers.split(['[', ']']).nth(1).unwrap_or("unknown");
    let fua = if queue("fua") == "1" { "FUA" } else { "no FUA" };
    format!("{name}, scheduler {scheduler}, {} cache, {fua}", or_unknown(&queue("write_cache")))
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn or_unknown(value: &str) -> String {
    if value.is_empty() { "unknown".to_owned() } else { value.to_owned() }
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next().unwrap_or("")
}

fn kilobytes(value: &str) -> u64 {
    value.trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 259:1 / /data rw,noatime shared:1 - xfs /dev/nvme0n1 rw
";

    #[test]
    fn a_path_lies_in_the_longest_mount_above_it() {
        let kind = |path: &str| Mount::under(MOUNTS, Path::new(path)).map(|m| (m.kind, m.device));
        assert_eq!(kind("/data/flumen"), Some(("xfs", "259:1")));
        assert_eq!(kind("/database"), Some(("ext4", "254:0")), "a mount point is not a prefix of letters");
        assert_eq!(Mount::under("broken line", Path::new("/")).map(|m| m.kind), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 17\nmodel name\t: A CPU: fast\nMemTotal:  1024 kB\n";
        assert_eq!(field(text, "model name"), "A CPU: fast");
        assert_eq!(kilobytes(field(text, "MemTotal")), 1 << 20);
        assert_eq!(kilobytes(field(text, "Swap")), 0);
    }
}
