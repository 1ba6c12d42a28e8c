//! `tune check`: every finding about one machine and one data directory. It reads and never writes; what a
//! finding means stands beside the reader of it, one file a part of the machine.

mod cpu;
mod disk;
mod filesystem;
mod kernel;
mod limits;
mod memory;
mod net;
pub(crate) mod pressure;

use crate::device::{self, Disk, Mount};
use crate::item::{Item, Report, SCHEMA, Verdict};
use crate::profile::{self, Fingerprint};
use crate::root::Root;
use std::path::Path;

/// Free and total bytes of a filesystem, which no file below `/proc` or `/sys` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that an ordinary process may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Space {
    /// Asks the filesystem under `directory`.
    pub fn of(directory: &Path) -> std::io::Result<Space> {
        let stat = rustix::fs::statvfs(directory)?;
        Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
    }
}

/// The findings for `data` on the machine below `root`. `space` is the filesystem's, when it could be asked.
pub fn check(root: &Root, data: &Path, space: Option<Space>) -> Report {
    let directory = root.nearest_existing(data);
    let mount = Mount::of(root, &directory);
    let disks = mount.as_ref().map(|mount| device::disks(root, mount)).unwrap_or_default();
    let cpus = cpu::count(root);

    let mut items = kernel::items(root);
    items.extend(limits::items(root));
    items.extend(filesystem::items(mount.as_ref(), space, cpus));
    for disk in &disks {
        items.extend(disk::items(root, disk));
    }
    items.extend(cpu::items(root, &disks));
    items.extend(memory::items(root, cpus));
    items.extend(net::items(root));
    items.extend(pressure::items(root));
    items.push(profile_item(root, data, mount.as_ref(), &disks));
    Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        data: data.display().to_string(),
        devices: disks.into_iter().map(|disk| disk.name).collect(),
        items,
    }
}

/// Whether the disk was measured, and is still the one that was.
fn profile_item(root: &Root, data: &Path, mount: Option<&Mount>, disks: &[Disk]) -> Item {
    let item = Item::new(
        "profile",
        "Device profile",
        "measured on this device",
        "A measured profile tells the node which kind of durable write is faster here and what latency is usual.",
    );
    let remedy = format!("Run `flumen tune probe --data {}` while the machine is quiet.", data.display());
    let Some(profile) = profile::load_profile(&root.path(data)) else {
        return item.now("none").verdict(Verdict::Absent).remedy(remedy);
    };
    let now = Fingerprint::of(root, mount, disks);
    match profile.mismatch(&now) {
        Some(difference) => item.now(difference).verdict(Verdict::Warn).remedy(remedy),
        None => item
            .now(format!("{}, durable_write = {}", profile.quality.name(), profile.durable_write().name()))
            .unless(profile.quality.is_stable(), Verdict::Warn, remedy),
    }
}
