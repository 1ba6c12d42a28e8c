//! From a data directory to what lies under it: the mount, and the leaf disks below partitions, dm and md.
//! Reads `/proc/self/mountinfo` and `/sys` below a [`Root`]; asks no device anything.

use crate::root::Root;
use std::path::{Path, PathBuf};

/// How deep device stacks are followed. Real ones have two or three layers; a loop in a broken tree must end.
const LAYERS_MAX: usize = 16;

/// The filesystem that a directory lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// `ext4`, `xfs`, …
    pub(crate) filesystem: String,
    /// What is mounted: `/dev/vda1`, `tmpfs`, …
    pub(crate) source: String,
    /// The options of the mount and of the filesystem, each once, in their order.
    pub(crate) options: Vec<String>,
    /// `major:minor` of the device.
    pub(crate) device: String,
}

impl Mount {
    /// The mount that holds `directory` (absolute, links resolved): the longest mount point above it, and of
    /// several at one place the last.
    pub(crate) fn of(root: &Root, directory: &Path) -> Option<Mount> {
        let table = root.text("/proc/self/mountinfo")?;
        table
            .lines()
            .filter_map(parse_mount)
            .filter(|mount| directory.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count())
    }

    /// Whether an option stands there.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|have| have == option)
    }
}

/// One line of mountinfo (proc_pid_mountinfo(5)): `id parent major:minor root point options [optional…] - type
/// source super-options`.
fn parse_mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.splitn(3, ' ').collect();
    let mut options: Vec<String> = left.get(5)?.split(',').map(str::to_owned).collect();
    for option in right.get(2).unwrap_or(&"").split(',').filter(|option| !option.is_empty()) {
        if !options.iter().any(|have| have == option) {
            options.push(option.to_owned());
        }
    }
    Some(Mount {
        point: PathBuf::from(unescape(left.get(4)?)),
        filesystem: (*right.first()?).to_owned(),
        source: unescape(right.get(1)?),
        options,
        device: (*left.get(2)?).to_owned(),
    })
}

/// Octal escapes of mountinfo: `\040` is a space.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if bytes[at] == b'\\' => {
                out.push(byte);
                at += 4;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One whole disk, as `/sys/block` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// `vda`, `nvme0n1`, `loop0`, …
    pub(crate) name: String,
    /// Its directory below `/sys`, with links resolved.
    sys: PathBuf,
}

impl Disk {
    /// A file below the disk's directory: `queue/scheduler`.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.sys.join(file)
    }

    /// What one file below the disk's directory says.
    pub(crate) fn text(&self, root: &Root, file: &str) -> Option<String> {
        root.text(self.path(file)).filter(|text| !text.is_empty())
    }

    /// The maker's name for it, when it has one.
    pub(crate) fn model(&self, root: &Root) -> Option<String> {
        self.text(root, "device/model")
    }

    /// What tells this disk from another of its model, when it says.
    pub(crate) fn serial(&self, root: &Root) -> Option<String> {
        ["wwid", "device/wwid", "device/serial", "serial"].iter().find_map(|file| self.text(root, file))
    }

    /// What drives it: tells whether a flush can be believed from here.
    pub(crate) fn kind(&self) -> DiskKind {
        let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| self.name.starts_with(prefix));
        if is(&["zram", "ram"]) {
            DiskKind::Memory
        } else if is(&["loop"]) {
            DiskKind::Loop
        } else if is(&["vd", "xvd"]) {
            DiskKind::Virtual
        } else if is(&["nbd", "rbd", "drbd"]) {
            DiskKind::Network
        } else {
            DiskKind::Real
        }
    }
}

/// What drives a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskKind {
    /// NVMe, SAS, SATA: the drive itself answers.
    Real,
    /// virtio or Xen: the hypervisor answers.
    Virtual,
    /// A file of another filesystem.
    Loop,
    /// Another machine answers.
    Network,
    /// Main memory: nothing on it outlives a power cut.
    Memory,
}

/// The leaf disks under a mount, sorted by name; empty when it has none that can be seen (tmpfs, NFS, overlay).
pub(crate) fn disks(root: &Root, mount: &Mount) -> Vec<Disk> {
    let mut found = Vec::new();
    if let Some(start) = block_directory(root, mount) {
        descend(root, &start, LAYERS_MAX, &mut found);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup();
    found
}

/// The block device's directory: by number, else by name (filesystems over several devices, such as btrfs,
/// show a number that belongs to no device).
fn block_directory(root: &Root, mount: &Mount) -> Option<PathBuf> {
    root.resolve(format!("/sys/dev/block/{}", mount.device)).or_else(|| {
        let device = root.resolve(&mount.source).unwrap_or_else(|| PathBuf::from(&mount.source));
        let name = device.strip_prefix("/dev").ok()?.file_name()?.to_str()?.to_owned();
        root.resolve(format!("/sys/class/block/{name}"))
    })
}

fn descend(root: &Root, directory: &Path, layers: usize, found: &mut Vec<Disk>) {
    if layers == 0 {
        return;
    }
    if root.exists(directory.join("partition")) {
        if let Some(whole) = directory.parent() {
            descend(root, whole, layers - 1, found);
        }
        return;
    }
    let below = root.list(directory.join("slaves"));
    for slave in &below {
        let next = root
            .resolve(directory.join("slaves").join(slave))
            .or_else(|| root.resolve(format!("/sys/class/block/{slave}")));
        if let Some(next) = next {
            descend(root, &next, layers - 1, found);
        }
    }
    if below.is_empty()
        && let Some(name) = directory.file_name().and_then(|name| name.to_str())
    {
        found.push(Disk { name: name.to_owned(), sys: directory.to_path_buf() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_line_gives_point_type_source_and_each_option_once() {
        let line = "36 35 98:0 /mnt1 /my\\040data rw,noatime master:1 - ext4 /dev/root rw,errors=continue";
        let mount = parse_mount(line).unwrap();
        assert_eq!(mount.point, Path::new("/my data"));
        assert_eq!((mount.filesystem.as_str(), mount.source.as_str()), ("ext4", "/dev/root"));
        assert_eq!(mount.options, ["rw", "noatime", "errors=continue"]);
        assert_eq!(mount.device, "98:0");
    }

    #[test]
    fn a_broken_mount_line_is_passed_over() {
        for line in ["", " - ", "36 35 98:0 - ext4", "a b c d e f - "] {
            let _ = parse_mount(line);
        }
        assert_eq!(unescape("a\\04"), "a\\04");
    }
}
