//! The processors: which may be used, how fast they run, how deep they sleep, and which memory and disk is near.

use crate::device::Disk;
use crate::item::{Item, Verdict};
use crate::root::Root;

/// A core that sleeps deeper than this wakes too late for a durable write of about 100 µs.
const EXIT_LATENCY_US_MAX: i64 = 20;
const CPUS: &str = "/sys/devices/system/cpu";

/// How many processors this process may use: the process's own mask, since a cgroup or `taskset` may have made
/// it smaller than the machine.
pub(crate) fn count(root: &Root) -> usize {
    allowed(root).or_else(|| online(root)).unwrap_or(1).max(1)
}

fn online(root: &Root) -> Option<usize> {
    list_len(&root.text(format!("{CPUS}/online"))?)
}

fn allowed(root: &Root) -> Option<usize> {
    let status = root.text("/proc/self/status")?;
    list_len(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim())
}

/// The length of a list such as `0-3,8`.
fn list_len(list: &str) -> Option<usize> {
    let mut count = 0;
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        count += (to + 1).checked_sub(from)?;
    }
    Some(count)
}

/// Mask, governor, sleep states, memory nodes.
pub(super) fn items(root: &Root, disks: &[Disk]) -> Vec<Item> {
    vec![cores(root), governor(root), sleep(root), numa(root, disks), balancing(root)]
}

fn cores(root: &Root) -> Item {
    let item = Item::new(
        "cpu.allowed",
        "Processors allowed",
        ">= 2",
        "Each shard has a core of its own, and the kernel's work for it needs time too.",
    );
    let Some(allowed) = allowed(root) else { return item.unknown("cannot be read") };
    let now = match online(root) {
        Some(online) => format!("{allowed} of {online}"),
        None => allowed.to_string(),
    };
    item.now(now).unless(allowed >= 2, Verdict::Warn, "Give the node at least two processors.")
}

/// Whether a hypervisor stands between us and the processors.
fn virtual_machine(root: &Root) -> bool {
    let text = root.text("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// Nothing here: because a hypervisor keeps it, or because there is nothing.
fn kept(root: &Root, item: Item) -> Item {
    if virtual_machine(root) {
        item.now("kept by the hypervisor").verdict(Verdict::Managed)
    } else {
        item.absent()
    }
}

fn governor(root: &Root) -> Item {
    let directory = format!("{CPUS}/cpufreq");
    let item = Item::new(
        "cpu.governor",
        "Frequency governor",
        "performance",
        "A core that has to speed up first answers the first request after a pause late.",
    );
    let mut governors: Vec<String> = root
        .list(&directory)
        .iter()
        .filter(|name| name.starts_with("policy"))
        .filter_map(|policy| root.text(format!("{directory}/{policy}/scaling_governor")))
        .collect();
    governors.sort();
    governors.dedup();
    if governors.is_empty() {
        return kept(root, item);
    }
    let fine = governors == ["performance"];
    item.now(governors.join(", ")).unless(
        fine,
        Verdict::Warn,
        "As root: cpupower frequency-set -g performance (costs power while idle).",
    )
}

fn sleep(root: &Root) -> Item {
    let item = Item::new(
        "cpu.sleep",
        "Sleep states",
        format!("exit latency <= {EXIT_LATENCY_US_MAX} us"),
        "A core in a deep sleep state takes tens to hundreds of microseconds to answer a completion.",
    );
    let directory = format!("{CPUS}/cpu0/cpuidle");
    let deepest = root
        .list(&directory)
        .iter()
        .filter(|state| root.number(format!("{directory}/{state}/disable")).unwrap_or(0) == 0)
        .filter_map(|state| {
            let latency = root.number(format!("{directory}/{state}/latency"))?;
            Some((latency, root.text(format!("{directory}/{state}/name")).unwrap_or_else(|| state.clone())))
        })
        .max_by_key(|(latency, _)| *latency);
    let Some((latency, name)) = deepest else { return kept(root, item) };
    let driver =
        root.text(format!("{CPUS}/cpuidle/current_driver")).unwrap_or_else(|| "unknown driver".into());
    item.now(format!("{name} ({latency} us), {driver}")).unless(
        latency <= EXIT_LATENCY_US_MAX,
        Verdict::Warn,
        format!("As root: cpupower idle-set -D {EXIT_LATENCY_US_MAX} (costs power while idle)."),
    )
}

fn numa(root: &Root, disks: &[Disk]) -> Item {
    let item = Item::new(
        "cpu.numa",
        "Memory nodes",
        "shards beside their disk",
        "A core far from the memory or the disk that it works with waits longer for each access.",
    );
    let nodes = root
        .list("/sys/devices/system/node")
        .iter()
        .filter(|name| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok()))
        .count();
    if nodes <= 1 {
        return item.now("1 node");
    }
    let near: Vec<String> = disks
        .iter()
        .filter_map(|disk| {
            let node =
                disk.text(root, "device/numa_node").or_else(|| disk.text(root, "device/device/numa_node"))?;
            Some(format!("{} on node {node}", disk.name))
        })
        .collect();
    let places = if near.is_empty() { "disks on no known node".to_owned() } else { near.join(", ") };
    item.now(format!("{nodes} nodes; {places}"))
        .verdict(Verdict::Warn)
        .remedy("Set `cores` to processors of the disk's node (see /sys/devices/system/node/node*/cpulist).")
}

fn balancing(root: &Root) -> Item {
    let item = Item::new(
        "cpu.numa_balancing",
        "Automatic NUMA balancing",
        "0 (off)",
        "It unmaps pages to see who uses them, which a pinned core pays for with page faults.",
    );
    let Some(now) = root.text("/proc/sys/kernel/numa_balancing") else { return item.absent() };
    let fine = now == "0";
    item.now(now).unless(fine, Verdict::Warn, "As root: sysctl -w kernel.numa_balancing=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_list_is_counted() {
        assert_eq!(list_len("0-3,8"), Some(5));
        assert_eq!(list_len("1"), Some(1));
        assert_eq!(list_len("3-1"), None);
        assert_eq!(list_len("x"), None);
    }
}
