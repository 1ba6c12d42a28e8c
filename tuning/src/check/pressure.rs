//! Pressure stall information: whether somebody waits for processor, disk or memory right now.

use crate::item::{Item, Verdict};
use crate::root::Root;

/// Share of time, in percent, above which waiting for a resource disturbs a measurement.
const PERCENT_MAX: f64 = 10.0;

/// Processor, disk, memory.
pub(super) fn items(root: &Root) -> Vec<Item> {
    [("pressure.cpu", "cpu"), ("pressure.io", "io"), ("pressure.memory", "memory")]
        .into_iter()
        .map(|(id, resource)| {
            let item = Item::new(
                id,
                "Pressure now",
                format!("some avg10 <= {PERCENT_MAX:.0} %"),
                "While others wait for the same resource, latency is theirs to decide and measurements mean little.",
            );
            match some_avg10(root, resource) {
                Some(percent) => item.now(format!("{resource}: some avg10 {percent:.1} %")).unless(
                    percent <= PERCENT_MAX,
                    Verdict::Warn,
                    "Find out who else is busy on this machine before you measure or go live.",
                ),
                None => item.absent(),
            }
        })
        .collect()
}

/// The share of the last 10 seconds in which some task waited for `resource`, in percent.
pub(crate) fn some_avg10(root: &Root, resource: &str) -> Option<f64> {
    let text = root.text(format!("/proc/pressure/{resource}"))?;
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}
