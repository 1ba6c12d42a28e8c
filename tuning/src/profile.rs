//! The device profile: what `tune probe` measured, of which device, and what a node should make of it. A TOML
//! file in the data directory. It is advice: a node starts without it, and a broken one is as good as none.

use crate::device::{self, Disk, Mount};
use crate::probe::stats::{Bandwidth, Series};
use crate::root::Root;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The profile's name in the data directory.
pub const FILE_NAME: &str = "device-profile.toml";
/// Where an unstable result goes that may not replace a stable one.
pub const UNSTABLE_FILE_NAME: &str = "device-profile.unstable.toml";
/// The version of the file. A reader ignores files of another version.
pub(crate) const FORMAT: u32 = 1;

/// How a write becomes durable on this device at the least cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurableWrite {
    /// One operation: a write with O_DSYNC.
    Dsync,
    /// Two operations: a write, then fdatasync.
    Flush,
}

impl DurableWrite {
    /// Both, in the order in which they are measured.
    pub const ALL: [DurableWrite; 2] = [DurableWrite::Dsync, DurableWrite::Flush];

    /// The word for it in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            DurableWrite::Dsync => "dsync",
            DurableWrite::Flush => "flush",
        }
    }
}

/// Whether the repeats agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// They did, on a quiet machine: the figures describe the device.
    Stable,
    /// They did not, or others were busy: the figures describe the moment.
    Unstable,
}

impl Quality {
    /// Whether the figures describe the device.
    pub fn is_stable(self) -> bool {
        self == Quality::Stable
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        if self.is_stable() { "stable" } else { "unstable" }
    }
}

/// What the figures belong to. When it changes, they no longer count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The kernel's release.
    pub kernel: String,
    /// The filesystem's type.
    pub filesystem: String,
    /// The options of its mount, sorted.
    pub mount_options: Vec<String>,
    /// The leaf disks, sorted by name.
    pub disks: Vec<DiskFingerprint>,
}

/// What tells one disk from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFingerprint {
    /// The kernel's name for it.
    pub name: String,
    /// The maker's name for it; empty when it has none.
    pub model: String,
    /// World-wide name or serial number; empty when it has none.
    pub serial: String,
    /// Sectors of 512 bytes.
    pub sectors: i64,
    /// `write back` or `write through`; empty when it does not say.
    pub write_cache: String,
    /// Whether one write can be forced to stable storage.
    pub fua: bool,
    /// The chosen I/O scheduler, with its alternatives.
    pub scheduler: String,
}

impl Fingerprint {
    /// The fingerprint of a directory of this machine.
    pub fn of_directory(directory: &Path) -> Fingerprint {
        let root = Root::system();
        let mount = Mount::of(&root, &root.nearest_existing(directory));
        let disks = mount.as_ref().map(|mount| device::disks(&root, mount)).unwrap_or_default();
        Fingerprint::of(&root, mount.as_ref(), &disks)
    }

    /// The fingerprint of a mount and its disks.
    pub(crate) fn of(root: &Root, mount: Option<&Mount>, disks: &[Disk]) -> Fingerprint {
        let mut mount_options = mount.map(|mount| mount.options.clone()).unwrap_or_default();
        mount_options.sort();
        Fingerprint {
            kernel: root.text("/proc/sys/kernel/osrelease").unwrap_or_default(),
            filesystem: mount.map(|mount| mount.filesystem.clone()).unwrap_or_default(),
            mount_options,
            disks: disks.iter().map(|disk| DiskFingerprint::of(root, disk)).collect(),
        }
    }

    /// Whether every disk completes a durable write without a flush of its whole cache.
    pub fn needs_no_flush(&self) -> bool {
        !self.disks.is_empty()
            && self.disks.iter().all(|disk| disk.fua || disk.write_cache == "write through")
    }
}

impl DiskFingerprint {
    fn of(root: &Root, disk: &Disk) -> DiskFingerprint {
        let text = |file: &str| disk.text(root, file).unwrap_or_default();
        DiskFingerprint {
            name: disk.name.clone(),
            model: disk.model(root).unwrap_or_default(),
            serial: disk.serial(root).unwrap_or_default(),
            sectors: root.number(disk.path("size")).unwrap_or(0),
            write_cache: text("queue/write_cache"),
            fua: text("queue/fua") == "1",
            scheduler: text("queue/scheduler"),
        }
    }
}

/// One durable write: of this size, made durable this way, with so many in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteResult {
    /// Bytes of one write.
    pub bytes: usize,
    /// How it was made durable.
    pub method: DurableWrite,
    /// Writes in flight.
    pub depth: usize,
    /// What it took.
    pub latency: Series,
}

/// What loopback TCP does, which bounds every client on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loopback {
    /// There and back with 64 bytes.
    pub round_trip: Series,
    /// One way, 256 KiB a write.
    pub bandwidth: Bandwidth,
}

/// What was measured, of what, and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The version of the file, now 1.
    pub format: u32,
    /// The program's version that measured.
    pub version: String,
    /// When, in milliseconds since the Unix epoch.
    pub measured_unix_ms: u64,
    /// Whether the repeats agreed.
    pub quality: Quality,
    /// Why they are said to agree or not, in one sentence.
    pub quality_reason: String,
    durable_write: DurableWrite,
    /// The figures behind [`Profile::durable_write`], in one sentence.
    pub durable_write_reason: String,
    /// What was measured.
    pub fingerprint: Fingerprint,
    /// Large direct writes, four in flight, one flush at the end.
    pub sequential_write: Bandwidth,
    /// Large direct reads, four in flight.
    pub sequential_read: Bandwidth,
    /// The network's share.
    pub loopback: Loopback,
    /// Every durable write.
    pub write: Vec<WriteResult>,
}

impl Profile {
    /// Which way of writing durably is the better one here.
    pub fn durable_write(&self) -> DurableWrite {
        self.durable_write
    }

    /// Says which way of writing durably is the better one.
    pub(crate) fn set_durable_write(&mut self, method: DurableWrite, reason: String) {
        self.durable_write = method;
        self.durable_write_reason = reason;
    }

    /// A profile of these figures, before anything was concluded from them.
    pub(crate) fn of_figures(
        fingerprint: Fingerprint,
        write: Vec<WriteResult>,
        sequential: (Bandwidth, Bandwidth),
        loopback: Loopback,
    ) -> Profile {
        Profile {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            measured_unix_ms: 0,
            quality: Quality::Unstable,
            quality_reason: String::new(),
            durable_write: DurableWrite::Dsync,
            durable_write_reason: String::new(),
            fingerprint,
            sequential_write: sequential.0,
            sequential_read: sequential.1,
            loopback,
            write,
        }
    }

    /// What differs between the device measured and `now`, in one sentence; `None` when nothing does. A node
    /// warns with it and goes on.
    pub fn mismatch(&self, now: &Fingerprint) -> Option<String> {
        let then = &self.fingerprint;
        let changed =
            |what: &str, then: &str, now: &str| Some(format!("measured with {what} {then}, now {now}"));
        if then.disks != now.disks {
            changed("disks", &names(then), &names(now)).filter(|_| names(then) != names(now)).or_else(|| {
                Some(format!("the settings or the identity of {} changed since it was measured", names(now)))
            })
        } else if then.filesystem != now.filesystem {
            changed("filesystem", &then.filesystem, &now.filesystem)
        } else if then.mount_options != now.mount_options {
            changed("mount options", &then.mount_options.join(","), &now.mount_options.join(","))
        } else if then.kernel != now.kernel {
            changed("kernel", &then.kernel, &now.kernel)
        } else {
            None
        }
    }
}

fn names(fingerprint: &Fingerprint) -> String {
    let names: Vec<&str> = fingerprint.disks.iter().map(|disk| disk.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The profile in a data directory, when there is one that this version can read.
pub fn load_profile(directory: &Path) -> Option<Profile> {
    load_profile_file(&directory.join(FILE_NAME))
}

/// The profile in a file, when there is one that this version can read.
pub fn load_profile_file(file: &Path) -> Option<Profile> {
    parse(&fs::read_to_string(file).ok()?)
}

/// A profile from its text, when it is whole and of this version.
pub(crate) fn parse(text: &str) -> Option<Profile> {
    toml::from_str::<Profile>(text).ok().filter(|profile| profile.format == FORMAT)
}

/// Saves a profile durably and says where. An unstable result never replaces a stable one: it goes beside it.
pub fn save_profile(directory: &Path, profile: &Profile) -> io::Result<PathBuf> {
    let keeps =
        !profile.quality.is_stable() && load_profile(directory).is_some_and(|old| old.quality.is_stable());
    let name = if keeps { UNSTABLE_FILE_NAME } else { FILE_NAME };
    let text = toml::to_string(profile).map_err(io::Error::other)?;
    let path = directory.join(name);
    let partial = directory.join(format!("{name}.partial"));
    let mut file = File::create(&partial)?;
    file.write_all(HEADER.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, &path)?;
    File::open(directory)?.sync_all()?;
    Ok(path)
}

const HEADER: &str = "# What `flumen tune probe` measured here. A node reads durable_write and compares the fingerprint.\n\
                      # Times are microseconds; each figure is the median of its repeats.\n\n";

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
