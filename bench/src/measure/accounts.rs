//! What a run cost and how quiet the machine was: CPU of this program and of everybody else, writes and flushes of
//! the disk. Reads counters of the kernel before and after; it must never sample while a part runs.

use serde::{Deserialize, Serialize};
use std::fs;
use std::ops::AddAssign;
use std::time::Instant;

/// The kernel's sector, whatever the disk's.
const SECTOR_BYTES: u64 = 512;

/// What was used between two readings. All zero where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Wall time in microseconds.
    pub wall_us: u64,
    /// CPU time there was: wall time × all CPUs of the machine, in ticks of 10 ms.
    pub cpu_ticks: u64,
    /// CPU time of this program and the processes it watches.
    pub own_ticks: u64,
    /// CPU time that all others used. Kernel workers that work for us count here.
    pub other_ticks: u64,
    /// Reads that the disk completed.
    pub disk_reads: u64,
    /// Writes that the disk completed.
    pub disk_writes: u64,
    /// Bytes that the disk wrote, of everybody.
    pub disk_write_bytes: u64,
    /// Flushes that the disk completed.
    pub disk_flushes: u64,
}

impl Account {
    /// The share of all CPU time that others used, 0 to 1. Above about a half, latencies say little.
    pub fn other_share(&self) -> f64 {
        self.other_ticks as f64 / self.cpu_ticks.max(1) as f64
    }

    /// Microseconds of our CPU per record, at so many records a second; 0 for none. By rate and not by count, since
    /// the warm-up costs too but is not counted.
    pub fn own_us_per_record(&self, records_per_s: f64) -> f64 {
        let records = records_per_s * self.wall_us as f64 / 1e6;
        if records < 1.0 { 0.0 } else { self.own_ticks as f64 * 10_000.0 / records }
    }
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Account) {
        self.wall_us += other.wall_us;
        self.cpu_ticks += other.cpu_ticks;
        self.own_ticks += other.own_ticks;
        self.other_ticks += other.other_ticks;
        self.disk_reads += other.disk_reads;
        self.disk_writes += other.disk_writes;
        self.disk_write_bytes += other.disk_write_bytes;
        self.disk_flushes += other.disk_flushes;
    }
}

/// What to read beside the processors: which disk is meant.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The disk's `major:minor`, when known.
    pub device: Option<String>,
}

/// A reading to take the difference from.
pub struct Reading<'a> {
    watch: &'a Watch,
    pids: &'a [u32],
    began: Instant,
    before: Counters,
}

#[derive(Clone, Copy, Default)]
struct Counters {
    total: u64,
    busy: u64,
    own: u64,
    disk: [u64; 4],
}

impl Watch {
    /// Starts an account of this process and of `pids`: the server under test.
    pub fn start<'a>(&'a self, pids: &'a [u32]) -> Reading<'a> {
        Reading { watch: self, pids, began: Instant::now(), before: self.read(pids) }
    }

    fn read(&self, pids: &[u32]) -> Counters {
        let (total, busy) = read(&["/proc/stat"]).as_deref().and_then(machine_ticks).unwrap_or_default();
        let others = pids.iter().map(u32::to_string);
        let own = others
            .chain(["self".to_owned()])
            .filter_map(|pid| process_ticks(&read(&["/proc/", &pid, "/stat"])?));
        let disk = self.device.as_ref().and_then(|device| read(&["/sys/dev/block/", device, "/stat"]));
        Counters {
            total,
            busy,
            own: own.sum(),
            disk: disk.as_deref().and_then(disk_counts).unwrap_or_default(),
        }
    }
}

impl Reading<'_> {
    /// Ends the account.
    pub fn end(self) -> Account {
        let (before, after) = (self.before, self.watch.read(self.pids));
        let own = after.own.saturating_sub(before.own);
        let disk = |at: usize| after.disk[at].saturating_sub(before.disk[at]);
        Account {
            wall_us: self.began.elapsed().as_micros() as u64,
            cpu_ticks: after.total.saturating_sub(before.total),
            own_ticks: own,
            other_ticks: after.busy.saturating_sub(before.busy).saturating_sub(own),
            disk_reads: disk(0),
            disk_writes: disk(1),
            disk_write_bytes: disk(2) * SECTOR_BYTES,
            disk_flushes: disk(3),
        }
    }
}

fn read(path: &[&str]) -> Option<String> {
    fs::read_to_string(path.concat()).ok()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect()
}

/// All and busy ticks of `/proc/stat`: user, nice, system, *idle*, *iowait*, irq, softirq, steal.
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let ticks = numbers(stat.lines().next()?.strip_prefix("cpu ")?);
    let total: u64 = ticks.get(..8)?.iter().sum();
    Some((total, total - ticks[3] - ticks[4]))
}

/// User and system ticks of `/proc/PID/stat`, threads that have ended included. The program's name may hold
/// anything but its last bracket.
fn process_ticks(stat: &str) -> Option<u64> {
    let mut rest = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (rest.next()?.parse().ok()?, rest.next()?.parse().ok()?);
    Some(user + system)
}

/// Reads, writes, sectors written and flushes of a block device's `stat` (kernel: `Documentation/block/stat`).
fn disk_counts(stat: &str) -> Option<[u64; 4]> {
    let counts = numbers(stat);
    Some([*counts.first()?, *counts.get(4)?, *counts.get(6)?, counts.get(15).copied().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy() {
        let stat = "cpu  100 1 50 1000 20 3 4 5 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(machine_ticks(stat), Some((1183, 163)));
        assert_eq!(machine_ticks("cpu 1 2"), None);
    }

    #[test]
    fn a_program_with_a_bracket_in_its_name_is_counted_right() {
        let stat = "77 (a ) 9 b) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20 0 1";
        assert_eq!(process_ticks(stat), Some(42));
    }

    #[test]
    fn a_device_without_flush_counts_has_none() {
        assert_eq!(disk_counts("1 2 3 4 5 6 7 8 9 10 11"), Some([1, 5, 7, 0]));
        assert_eq!(disk_counts("1 0 0 0 5 0 7 0 0 0 0 0 0 0 0 16 0"), Some([1, 5, 7, 16]));
    }

    #[test]
    fn work_of_this_program_is_its_own() {
        let watch = Watch::default();
        let reading = watch.start(&[]);
        let mut x = 1u64;
        while reading.watch.read(&[]).own < reading.before.own + 3 {
            (0..100_000).for_each(|i| x = std::hint::black_box(x.wrapping_mul(31) + i));
        }
        let account = reading.end();
        assert!(account.own_ticks >= 3 && account.cpu_ticks >= account.own_ticks, "{account:?}");
    }
}
