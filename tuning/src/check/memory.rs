//! Memory: how much a core has, huge pages, and whether it may be swapped out.

use crate::item::{Item, Verdict};
use crate::root::Root;

/// Journal buffers, caches and connections of one core.
const KIB_PER_CORE_WANTED: u64 = 2 * 1024 * 1024;

/// Size, huge pages, swap.
pub(super) fn items(root: &Root, cpus: usize) -> Vec<Item> {
    vec![size(root, cpus), huge_pages(root), huge_page_defrag(root), swap(root)]
}

fn size(root: &Root, cpus: usize) -> Item {
    let item = Item::new(
        "memory.size",
        "Memory per core",
        ">= 2 GiB",
        "Each core keeps its own caches and buffers; with too little, readers near the end go to the disk.",
    );
    let kib = root.text("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:").map(str::to_owned))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    let Some(kib) = kib else { return item.unknown("cannot be read") };
    let each = kib / cpus as u64;
    item.now(format!("{:.1} GiB", each as f64 / f64::from(1 << 20))).unless(
        each >= KIB_PER_CORE_WANTED,
        Verdict::Warn,
        "Use fewer cores (`cores`), a smaller `cache_bytes`, or more memory.",
    )
}

/// The word in brackets of a choice such as `always [madvise] never`.
fn chosen(text: &str) -> &str {
    text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']')).unwrap_or(text)
}

fn huge_pages(root: &Root) -> Item {
    let item = Item::new(
        "memory.thp",
        "Transparent huge pages",
        "madvise or never",
        "With `always` the kernel may stop a core to find and clear 2 MiB pages that nobody asked for.",
    );
    let Some(text) = root.text("/sys/kernel/mm/transparent_hugepage/enabled") else { return item.absent() };
    let now = chosen(&text).to_owned();
    let fine = now != "always";
    let remedy = "As root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
    item.now(now).unless(fine, Verdict::Warn, remedy)
}

fn huge_page_defrag(root: &Root) -> Item {
    let item = Item::new(
        "memory.thp_defrag",
        "Huge page compaction",
        "madvise, defer or never",
        "With `always` a page fault may compact memory before it returns.",
    );
    let Some(text) = root.text("/sys/kernel/mm/transparent_hugepage/defrag") else { return item.absent() };
    let now = chosen(&text).to_owned();
    let fine = now != "always";
    let remedy = "As root: echo madvise > /sys/kernel/mm/transparent_hugepage/defrag";
    item.now(now).unless(fine, Verdict::Warn, remedy)
}

fn swap(root: &Root) -> Item {
    let item = Item::new(
        "memory.swap",
        "Swap",
        "none",
        "A page of the cache or a buffer that was swapped out costs a disk read in the middle of a request.",
    );
    let Some(table) = root.text("/proc/swaps") else { return item.absent() };
    let areas: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let fine = areas.is_empty();
    let now = if fine { "none".to_owned() } else { areas.join(", ") };
    item.now(now).unless(
        fine,
        Verdict::Warn,
        "In the unit: MemorySwapMax=0 (it is in ours); or as root: swapoff -a, and a lower vm.swappiness.",
    )
}
