//! The filesystem of the data directory: its type, its mount options, its free space.

use super::Space;
use crate::device::Mount;
use crate::item::{Item, Verdict};
use flumen_model::limits::Limits;

/// Filesystems that were measured and whose direct, durable writes into written blocks are single operations.
const PROVEN: [&str; 2] = ["ext4", "xfs"];
/// Filesystems that keep nothing, or cannot write directly.
const IMPOSSIBLE: [&str; 4] = ["tmpfs", "ramfs", "squashfs", "9p"];

/// Type, options, space.
pub(super) fn items(mount: Option<&Mount>, space: Option<Space>, cpus: usize) -> Vec<Item> {
    let mut items = match mount {
        Some(mount) => vec![kind(mount), writable(mount), barriers(mount), discard(mount)],
        None => vec![
            Item::new("fs.type", "Filesystem", "ext4 or xfs", "It decides what a durable write costs.")
                .unknown("the mount table cannot be read"),
        ],
    };
    items.push(free(space, cpus));
    items
}

fn kind(mount: &Mount) -> Item {
    let name = mount.filesystem.as_str();
    let item = Item::new(
        "fs.type",
        "Filesystem",
        "ext4 or xfs",
        "A node writes directly and durably into blocks that were written before; ext4 and xfs do that in one \
         operation, copying and network filesystems in several, and some cannot do it at all.",
    )
    .now(format!("{name} at {}", mount.point.display()));
    let remedy = "Put the data directory on ext4 or xfs.";
    if PROVEN.contains(&name) {
        item
    } else if IMPOSSIBLE.contains(&name) || name.starts_with("fuse") {
        item.verdict(Verdict::Fail).remedy(remedy)
    } else {
        item.verdict(Verdict::Warn).remedy(remedy)
    }
}

fn writable(mount: &Mount) -> Item {
    Item::new(
        "fs.writable",
        "Mounted for writing",
        "rw",
        "A filesystem that met an error remounts itself read-only.",
    )
    .now(if mount.has("ro") { "ro" } else { "rw" })
    .unless(
        !mount.has("ro"),
        Verdict::Fail,
        "See the kernel's log for the reason, repair the filesystem, and mount it with rw.",
    )
}

fn barriers(mount: &Mount) -> Item {
    let off = mount.options.iter().find(|option| matches!(option.as_str(), "nobarrier" | "barrier=0"));
    Item::new(
        "fs.barriers",
        "Write barriers",
        "on",
        "Without barriers the filesystem sends no flushes, and acked records can be lost in a power cut.",
    )
    .now(off.map_or("on", String::as_str))
    .unless(
        off.is_none(),
        Verdict::Fail,
        "Remove the option from the mount (in /etc/fstab, then remount).",
    )
}

fn discard(mount: &Mount) -> Item {
    let on = mount.options.iter().any(|option| option == "discard" || option.starts_with("discard="));
    Item::new(
        "fs.discard",
        "Online discard",
        "off (weekly fstrim instead)",
        "With it, deleting a segment sends discards to the disk while records wait behind them.",
    )
    .now(if on { "discard" } else { "off" })
    .unless(!on, Verdict::Warn, "Remove `discard` from the mount options and enable fstrim.timer.")
}

/// Free space, against what a node of this many cores takes at once and the marks at which it warns and refuses.
fn free(space: Option<Space>, cpus: usize) -> Item {
    let limits = Limits::production();
    let journals = limits.journal_bytes * cpus as u64;
    let wanted = limits.disk_warn_bytes + limits.disk_reserve_bytes + journals;
    let item = Item::new(
        "fs.space",
        "Free space",
        format!(">= {}", gib(wanted)),
        "A node reserves its journals at the start, warns early and refuses records before the disk is full.",
    );
    let Some(space) = space else { return item.unknown("cannot be told") };
    let verdict = if space.free < limits.disk_refuse_bytes + limits.disk_reserve_bytes {
        Verdict::Fail
    } else {
        Verdict::Warn
    };
    item.now(format!("{} of {}", gib(space.free), gib(space.total))).unless(
        space.free >= wanted,
        verdict,
        "Free some space, use a larger disk, or lower journal_bytes and the [limits] disk_* marks.",
    )
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
