//! One leaf disk: its scheduler, merging, write cache, and whether a completed flush can be believed from here.

use crate::device::{Disk, DiskKind};
use crate::item::{Item, Verdict};
use crate::root::Root;

/// The findings of one disk.
pub(super) fn items(root: &Root, disk: &Disk) -> Vec<Item> {
    vec![
        identity(root, disk),
        scheduler(root, disk),
        nomerges(root, disk),
        write_cache(root, disk),
        trust(root, disk),
    ]
}

fn id(what: &str, disk: &Disk) -> String {
    format!("disk.{what}:{}", disk.name)
}

fn identity(root: &Root, disk: &Disk) -> Item {
    let item = Item::new(
        id("model", disk),
        "Disk",
        "solid state",
        "A node issues small durable writes all the time, which a rotating disk answers in milliseconds.",
    );
    // Hypervisors and loop devices pass on a default here, which says nothing about what lies under them.
    let rotating =
        disk.kind() == DiskKind::Real && disk.text(root, "queue/rotational").as_deref() == Some("1");
    let blocks = format!(
        "blocks {}/{}",
        disk.text(root, "queue/logical_block_size").unwrap_or_else(|| "?".into()),
        disk.text(root, "queue/physical_block_size").unwrap_or_else(|| "?".into()),
    );
    let model = disk.model(root).unwrap_or_else(|| "no model".into());
    let now = format!("{model}, {blocks}{}", if rotating { ", rotating" } else { "" });
    item.now(now).unless(!rotating, Verdict::Warn, "Put the data directory on a solid-state disk.")
}

fn scheduler(root: &Root, disk: &Disk) -> Item {
    let item = Item::new(
        id("scheduler", disk),
        "I/O scheduler",
        "none",
        "A node orders its own writes; a scheduler only adds waiting and processor time to each.",
    );
    let Some(text) = disk.text(root, "queue/scheduler") else { return item.absent() };
    let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    let chosen = chosen.unwrap_or(&text).to_owned();
    let fine = matches!(chosen.as_str(), "none" | "noop");
    item.now(chosen).unless(fine, Verdict::Warn, set(disk, "scheduler", "none"))
}

fn nomerges(root: &Root, disk: &Disk) -> Item {
    let item = Item::new(
        id("nomerges", disk),
        "Request merging",
        "2 (off)",
        "A node's writes are already large or alone; looking for neighbours to merge costs processor time only.",
    );
    let Some(now) = disk.text(root, "queue/nomerges") else { return item.absent() };
    let fine = now == "2";
    item.now(now).unless(fine, Verdict::Warn, set(disk, "nomerges", "2"))
}

fn set(disk: &Disk, file: &str, value: &str) -> String {
    format!(
        "As root: echo {value} > /sys/block/{0}/queue/{file}; to keep it, a udev rule: ACTION==\"add|change\", \
         KERNEL==\"{0}\", ATTR{{queue/{file}}}=\"{value}\"",
        disk.name
    )
}

fn write_cache(root: &Root, disk: &Disk) -> Item {
    let item = Item::new(
        id("write_cache", disk),
        "Write cache",
        "known",
        "It decides what a durable write costs: nothing extra without a volatile cache, one operation with FUA, \
         else a flush of the whole device.",
    );
    let Some(cache) = disk.text(root, "queue/write_cache") else { return item.absent() };
    let fua = disk.text(root, "queue/fua").as_deref() == Some("1");
    let meaning = match (cache.as_str(), fua) {
        ("write through", _) => "no volatile cache: the kernel sends no flushes",
        ("write back", true) => "FUA: a durable write is one operation",
        ("write back", false) => "no FUA: a durable write is a write and a flush",
        _ => "cannot be told",
    };
    item.now(format!("{cache}; {meaning}"))
}

/// What stands behind "stable storage" on this disk.
fn trust(root: &Root, disk: &Disk) -> Item {
    let item = Item::new(
        id("flush_trust", disk),
        "Flush can be believed",
        "the drive itself answers",
        "An ack is only as durable as the flush below it, and some layers answer a flush without doing it.",
    );
    let through = disk.text(root, "queue/write_cache").as_deref() == Some("write through");
    match disk.kind() {
        DiskKind::Real if through && !disk.name.starts_with("nvme") => item
            .unknown("write through: the drive says it has no volatile cache, or somebody told the kernel so")
            .remedy(format!(
                "Make sure that the drive or its controller has power-loss protection; if not, as root: echo \
                 'write back' > /sys/block/{}/queue/write_cache",
                disk.name
            )),
        DiskKind::Real => item.now("yes: a physical drive"),
        DiskKind::Virtual => item.unknown("virtual disk: the hypervisor decides what a flush does").remedy(
            "Ask for the disk's cache mode: none, directsync or writethrough keep the promise; unsafe breaks it.",
        ),
        DiskKind::Network => item
            .unknown("network disk: another machine decides what a flush does")
            .remedy("Ask its operator whether a flush reaches stable storage before it is answered."),
        DiskKind::Loop => {
            let backing = disk.text(root, "loop/backing_file").unwrap_or_else(|| "a file".into());
            item.now(format!("loop device over {backing}")).verdict(Verdict::Warn).remedy(
                "Fine for a test. For real data use the disk below it: `flumen tune check --data` the backing \
                 file's directory.",
            )
        }
        DiskKind::Memory => item
            .now("memory: nothing outlives a power cut")
            .verdict(Verdict::Fail)
            .remedy("Put the data directory on a disk."),
    }
}
