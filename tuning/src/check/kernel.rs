//! The kernel: its version, whether it lets us use io_uring, and its clock.

use crate::item::{Item, Verdict};
use crate::root::{Fact, Root};

/// Below this the asynchronous runtime does not start (`IORING_FEAT_FAST_POLL` and `IORING_OP_OPENAT` rules).
const KERNEL_MIN: (u32, u32) = (5, 8);
/// From here on everything that a node uses is there, and the ring's memory does not count as locked.
const KERNEL_WANTED: (u32, u32) = (6, 1);
/// CAP_SYS_ADMIN's bit in the capability masks.
const CAP_SYS_ADMIN: u32 = 21;

/// Version, io_uring, clock source.
pub(super) fn items(root: &Root) -> Vec<Item> {
    vec![version(root), io_uring(root), clocksource(root)]
}

fn version(root: &Root) -> Item {
    let item = Item::new(
        "kernel.version",
        "Kernel",
        format!(">= {}.{}", KERNEL_WANTED.0, KERNEL_WANTED.1),
        "A node drives disk and network through io_uring, which older kernels lack or have only in part.",
    );
    let Some(release) = root.text("/proc/sys/kernel/osrelease") else {
        return item.unknown("cannot be read");
    };
    let Some(found) = parse_version(&release) else { return item.unknown(release) };
    let verdict = if found < KERNEL_MIN { Verdict::Fail } else { Verdict::Warn };
    item.now(release).unless(found >= KERNEL_WANTED, verdict, "Install a newer kernel.")
}

/// Major and minor of a release such as `6.1.0-13-amd64`.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn io_uring(root: &Root) -> Item {
    let item = Item::new(
        "kernel.io_uring",
        "io_uring allowed",
        "kernel.io_uring_disabled = 0",
        "Without io_uring a node cannot start.",
    );
    let switch = match root.read("/proc/sys/kernel/io_uring_disabled") {
        Fact::Value(text) => text,
        // The switch came with Linux 6.6; before it there is nothing to forbid it but seccomp.
        Fact::Absent => return item.now("no switch in this kernel"),
        Fact::Unreadable => return item.unknown("cannot be read"),
    };
    let remedy = "As root: sysctl -w kernel.io_uring_disabled=0 (and a line in /etc/sysctl.d to keep it).";
    match switch.as_str() {
        "0" => item.now("0 (everybody)"),
        "1" if admitted(root) => item.now("1 (admitted: by group or capability)"),
        "1" => item.now("1 (only kernel.io_uring_group)").verdict(Verdict::Fail).remedy(
            "As root: sysctl -w kernel.io_uring_group=GID with a group of the node's user, or \
             kernel.io_uring_disabled=0.",
        ),
        "2" => item.now("2 (nobody)").verdict(Verdict::Fail).remedy(remedy),
        other => item.unknown(other),
    }
}

/// Whether this process may use io_uring although it is switched to 1.
fn admitted(root: &Root) -> bool {
    let status = root.text("/proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let capable = field("CapEff:")
        .and_then(|mask| u64::from_str_radix(mask, 16).ok())
        .is_some_and(|mask| mask & (1 << CAP_SYS_ADMIN) != 0);
    let group = root.text("/proc/sys/kernel/io_uring_group").unwrap_or_default();
    let member = ["Gid:", "Groups:"]
        .iter()
        .filter_map(|name| field(name))
        .any(|groups| groups.split_whitespace().any(|have| have == group));
    capable || member
}

fn clocksource(root: &Root) -> Item {
    const DIRECTORY: &str = "/sys/devices/system/clocksource/clocksource0";
    /// Read in user space; everything else costs a system call and often a device access.
    const FAST: [&str; 5] =
        ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"];
    let item = Item::new(
        "kernel.clocksource",
        "Clock source",
        "tsc (or the hypervisor's own)",
        "The clock is read several times a request, and a slow source costs microseconds each time.",
    );
    let Some(now) = root.text(format!("{DIRECTORY}/current_clocksource")) else { return item.absent() };
    let available = root.text(format!("{DIRECTORY}/available_clocksource")).unwrap_or_default();
    let better = FAST.iter().find(|name| available.split_whitespace().any(|have| have == **name));
    let fine = FAST.contains(&now.as_str());
    let remedy = match better {
        Some(name) => format!("As root: echo {name} > {DIRECTORY}/current_clocksource"),
        None => "The kernel found its fast clock unstable; see `dmesg | grep -i tsc`.".to_owned(),
    };
    item.now(now).unless(fine, Verdict::Warn, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_compare_as_numbers() {
        assert_eq!(parse_version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(parse_version("5.10-rc1"), Some((5, 10)));
        assert!(parse_version("6.1").unwrap() > parse_version("5.19").unwrap());
        assert_eq!(parse_version("unknown"), None);
    }
}
