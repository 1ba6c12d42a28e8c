//! The process limits that a node needs: locked memory and open files. They are read from `/proc/self/limits`,
//! since what a unit file asks for and what the process got are two things.

use crate::item::{Item, Verdict};
use crate::root::Root;

/// Below this the runtime refuses to start, with or without CAP_IPC_LOCK.
const MEMLOCK_MIN: u64 = 512 * 1024;
/// Buffers registered with the kernel by a few cores; the registration fails quietly beyond the limit.
const MEMLOCK_WANTED: u64 = 256 * 1024 * 1024;
/// Sockets and segment files of a small node.
const NOFILE_MIN: u64 = 1024;
/// Sockets and segment files of a node at its limits.
const NOFILE_WANTED: u64 = 65_536;
/// CAP_IPC_LOCK's bit in the capability masks.
const CAP_IPC_LOCK: u32 = 14;

/// Locked memory, open files.
pub(super) fn items(root: &Root) -> Vec<Item> {
    let table = root.text("/proc/self/limits").unwrap_or_default();
    vec![memlock(root, &table), nofile(&table)]
}

/// The soft and hard limit of a row of the table.
fn limit(table: &str, row: &str) -> Option<(u64, u64)> {
    let line = table.lines().find(|line| line.starts_with(row))?;
    let mut words = line[row.len()..].split_whitespace();
    let mut next = || match words.next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    Some((next()?, next()?))
}

fn memlock(root: &Root, table: &str) -> Item {
    let item = Item::new(
        "limit.memlock",
        "Locked memory",
        "unlimited, or >= 256 MiB",
        "Buffers registered with the kernel count as locked; below 512 KiB the runtime does not start, and below \
         what they need it falls back to slower ones.",
    );
    let Some((soft, hard)) = limit(table, "Max locked memory") else { return item.unknown("cannot be read") };
    let capable = root
        .text("/proc/self/status")
        .and_then(|status| {
            let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim().to_owned();
            u64::from_str_radix(&mask, 16).ok()
        })
        .is_some_and(|mask| mask & (1 << CAP_IPC_LOCK) != 0);
    let now =
        format!("soft {}, hard {}{}", bytes(soft), bytes(hard), if capable { ", CAP_IPC_LOCK" } else { "" });
    let verdict = if soft < MEMLOCK_MIN { Verdict::Fail } else { Verdict::Warn };
    let fine = soft >= MEMLOCK_WANTED || (capable && soft >= MEMLOCK_MIN);
    item.now(now).unless(
        fine,
        verdict,
        "In the unit: LimitMEMLOCK=infinity; in a shell: ulimit -l unlimited (as far as the hard limit goes).",
    )
}

fn nofile(table: &str) -> Item {
    let item = Item::new(
        "limit.nofile",
        "Open files",
        format!(">= {NOFILE_WANTED}"),
        "Every connection and every open segment is a descriptor; at the limit new connections are refused.",
    );
    let Some((soft, hard)) = limit(table, "Max open files") else { return item.unknown("cannot be read") };
    let verdict = if soft < NOFILE_MIN { Verdict::Fail } else { Verdict::Warn };
    let count = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
    item.now(format!("soft {}, hard {}", count(soft), count(hard))).unless(
        soft >= NOFILE_WANTED,
        verdict,
        "In the unit: LimitNOFILE=1048576; in a shell: ulimit -n 65536 (as far as the hard limit goes).",
    )
}

fn bytes(n: u64) -> String {
    if n == u64::MAX { "unlimited".to_owned() } else { format!("{} KiB", n / 1024) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_row_and_unlimited_is_the_largest() {
        let table = "Limit  Soft Limit  Hard Limit  Units\n\
                     Max open files            20000                1048576              files     \n\
                     Max locked memory         unlimited            unlimited            bytes     ";
        assert_eq!(limit(table, "Max open files"), Some((20_000, 1_048_576)));
        assert_eq!(limit(table, "Max locked memory"), Some((u64::MAX, u64::MAX)));
        assert_eq!(limit(table, "Max nothing"), None);
    }
}
