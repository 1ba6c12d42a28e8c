//! The faults of the simulated disk that are drawn from the seed: whether an operation meets one, and the harm
//! that it does. The disk asks at each operation; what a test asked for by name is the disk's own business.

use super::content::SECTOR_BYTES;
use super::disk::{Disk, InFlight};
use super::fate::{Fault, is_among};
use super::faults::{DiskFaults, FileChance};
use super::names::{Inode, Node};
use flumen_model::limits::BLOCK_BYTES;
use std::path::{Path, PathBuf};

/// How many versions of a sector are kept for shaped crashes.
const VERSIONS_MAX: usize = 8;
/// How many sectors go bad at once at most.
const BAD_SECTORS_MAX: u64 = 8;
/// How many bits that rotted while nobody looked are seen to flip at one operation; the rest at the next.
const ROT_AT_ONCE_MAX: u64 = 16;

/// What an operation works on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    File(Inode),
    Path(&'a Path),
}

/// Where a write goes in truth.
pub(super) enum Landing {
    AsAsked,
    Nowhere,
    At(Inode, u64),
}

impl Disk {
    fn target_path(&self, target: Target<'_>) -> Option<PathBuf> {
        match target {
            Target::File(inode) => self.tree.path_of(inode),
            Target::Path(path) => Some(path.to_owned()),
        }
    }

    /// Whether an operation meets this fault; then the path that it works on.
    pub(super) fn meets(
        &self,
        fault: Fault,
        chance: impl FnOnce(&DiskFaults) -> &FileChance,
        target: Target<'_>,
    ) -> Option<PathBuf> {
        let faults = self.fate.faults();
        let FileChance { chance, paths } = chance(&faults.disk);
        if !self.fate.draws(fault, *chance) {
            return None;
        }
        self.target_path(target).filter(|path| is_among(path, paths))
    }

    /// How much longer than usual an operation takes, in nanoseconds.
    pub(super) fn slowness(&self, target: Target<'_>) -> u64 {
        let Some(path) = self.meets(Fault::Slow, |disk| &disk.slow, target) else { return 0 };
        let nanos = self.fate.tail_nanos(Fault::Slow, self.fate.faults().disk.slow_most);
        self.fate.happened(Fault::Slow, nanos, || format!("{} ms on {}", nanos / 1_000_000, path.display()));
        nanos
    }

    /// Does what time has brought: rot, and a change of the free space.
    pub(super) fn pass_time(&mut self) {
        let (rot, squeeze) = {
            let faults = self.fate.faults();
            (faults.disk.rot, faults.disk.squeeze)
        };
        for _ in 0..self.fate.times_due(Fault::Rot, rot, ROT_AT_ONCE_MAX) {
            self.rot_somewhere();
        }
        if self.fate.is_due(Fault::Squeeze, squeeze) {
            self.turn_squeeze();
        }
    }

    /// New faults are in force.
    pub(super) fn faults_changed(&mut self) {
        let faults = self.fate.faults();
        if faults.disk.squeeze.every.is_zero() {
            self.squeeze = None;
        }
        self.versions_max = if faults.disk.shaped_crashes { VERSIONS_MAX } else { 0 };
        for content in self.files.values_mut() {
            content.set_versions_max(self.versions_max);
        }
    }

    fn turn_squeeze(&mut self) {
        self.squeeze = match self.squeeze {
            Some(_) => None,
            None => {
                let free = self.fate.below(Fault::Squeeze, self.fate.faults().disk.squeeze_free_most + 1);
                Some(self.used().saturating_add(free))
            }
        };
        let limit = self.squeeze.unwrap_or(u64::MAX);
        self.fate.happened(Fault::Squeeze, limit, || match self.squeeze {
            Some(limit) => format!("the disk holds {limit} bytes"),
            None => "the space is back".to_owned(),
        });
    }

    /// Flips one bit of one durable sector of one file, if there is any that may be hit.
    fn rot_somewhere(&mut self) {
        let paths = self.fate.faults().disk.rot_paths.clone();
        let mut files = self.tree.files();
        files
            .retain(|(path, inode)| is_among(path, &paths) && self.content(*inode).durable_page(0).is_some());
        if files.is_empty() {
            return;
        }
        let (path, inode) = files.swap_remove(self.fate.below(Fault::Rot, files.len() as u64) as usize);
        let pages = self.size(inode).div_ceil(BLOCK_BYTES as u64).max(1);
        let page = self.fate.below(Fault::Rot, pages);
        let Some(page) = self.content(inode).durable_page(page) else { return };
        let position = page * BLOCK_BYTES as u64 + self.fate.below(Fault::Rot, BLOCK_BYTES as u64);
        let mask = 1 << self.fate.below(Fault::Rot, 8);
        if position >= self.size(inode) || !self.fate.may_damage(&path, position, 1) {
            return;
        }
        self.content(inode).rot(position, mask);
        self.fate.happened(Fault::Rot, position, || format!("{} at {position}", path.display()));
        self.fate.damaged(Fault::Rot, path, position, 1);
    }

    /// Where a write lands. Only one within the file may go astray, so that sizes stay true.
    pub(super) fn landing(&mut self, write: &InFlight) -> Landing {
        let len = write.bytes.len() as u64;
        if write.position + len > self.size(write.inode) {
            return Landing::AsAsked;
        }
        let target = Target::File(write.inode);
        if let Some(path) = self.meets(Fault::LostWrite, |disk| &disk.lost_write, target)
            && self.fate.may_damage(&path, write.position, len)
        {
            self.fate.happened(Fault::LostWrite, write.position, || {
                format!("{} at {} + {len}", path.display(), write.position)
            });
            self.fate.damaged(Fault::LostWrite, path, write.position, len);
            return Landing::Nowhere;
        }
        match self.meets(Fault::MisdirectedWrite, |disk| &disk.misdirected_write, target) {
            Some(path) => self.misdirect(write, path).unwrap_or(Landing::AsAsked),
            None => Landing::AsAsked,
        }
    }

    fn misdirect(&mut self, write: &InFlight, path: PathBuf) -> Option<Landing> {
        let len = write.bytes.len() as u64;
        let (other_path, inode) = self.victim(write.inode, &path, len)?;
        let last_block = (self.size(inode) - len) / BLOCK_BYTES as u64;
        let position = self.fate.below(Fault::MisdirectedWrite, last_block + 1) * BLOCK_BYTES as u64;
        if (inode, position) == (write.inode, write.position)
            || !self.fate.may_damage(&path, write.position, len)
            || !self.fate.may_damage(&other_path, position, len)
        {
            return None;
        }
        self.fate.happened(Fault::MisdirectedWrite, position, || {
            let (path, other_path) = (path.display(), other_path.display());
            format!("{path} at {} + {len} went to {other_path} at {position}", write.position)
        });
        self.fate.damaged(Fault::MisdirectedWrite, path, write.position, len);
        self.fate.damaged(Fault::MisdirectedWrite, other_path, position, len);
        Some(Landing::At(inode, position))
    }

    /// The same file as often as another of its directory, if that one holds so many bytes.
    fn victim(&mut self, inode: Inode, path: &Path, len: u64) -> Option<(PathBuf, Inode)> {
        let same = (path.to_owned(), inode);
        if self.fate.coin(Fault::MisdirectedWrite) {
            return Some(same);
        }
        let paths = self.fate.faults().disk.misdirected_write.paths.clone();
        let mut others: Vec<(PathBuf, Inode)> = Vec::new();
        for other in self.tree.list(path.parent()?).ok()? {
            if let Ok(Node::File(inode)) = self.tree.find(&other)
                && is_among(&other, &paths)
                && self.size(inode) >= len
            {
                others.push((other, inode));
            }
        }
        let place = self.fate.below(Fault::MisdirectedWrite, others.len().max(1) as u64) as usize;
        Some(others.into_iter().nth(place).unwrap_or(same))
    }

    /// Whether a read fails; it may spoil what it reads for all that follow.
    pub(super) fn read_fails(&mut self, inode: Inode, position: u64, len: usize) -> bool {
        let target = Target::File(inode);
        if let Some(path) = self.meets(Fault::BadSectors, |disk| &disk.bad_sectors, target) {
            self.spoil_under(inode, path, position, len);
        }
        if self.content(inode).is_bad(position, len) {
            self.fate.happened(Fault::BadSectorRead, position, || format!("at {position} + {len}"));
            return true;
        }
        let failed = self.meets(Fault::ReadError, |disk| &disk.read_error, target);
        if let Some(path) = &failed {
            self.fate.happened(Fault::ReadError, position, || format!("{} at {position}", path.display()));
        }
        failed.is_some()
    }

    fn spoil_under(&mut self, inode: Inode, path: PathBuf, position: u64, len: usize) {
        let held = self.size(inode).saturating_sub(position).min(len as u64) / SECTOR_BYTES as u64;
        if held == 0 {
            return;
        }
        let first = self.fate.below(Fault::BadSectors, held);
        let count = 1 + self.fate.below(Fault::BadSectors, BAD_SECTORS_MAX.min(held - first));
        let at = position + first * SECTOR_BYTES as u64;
        let bytes = count * SECTOR_BYTES as u64;
        if !self.fate.may_damage(&path, at, bytes) {
            return;
        }
        self.content(inode).spoil(at / SECTOR_BYTES as u64, count);
        self.fate.happened(Fault::BadSectors, at, || format!("{} at {at} + {bytes}", path.display()));
        self.fate.damaged(Fault::BadSectors, path, at, bytes);
    }

    /// Whether a write fails.
    pub(super) fn write_fails(&self, write: &InFlight) -> bool {
        let target = Target::File(write.inode);
        let failed = self.meets(Fault::WriteError, |disk| &disk.write_error, target);
        if let Some(path) = &failed {
            self.fate.happened(Fault::WriteError, write.position, || {
                format!("{} at {} + {}", path.display(), write.position, write.bytes.len())
            });
        }
        failed.is_some()
    }

    /// Whether a flush of a file or a directory fails.
    pub(super) fn flush_fails(&self, fault: Fault, target: Target<'_>) -> bool {
        let failed = match fault {
            Fault::DirFlushError => self.meets(fault, |disk| &disk.dir_flush_error, target),
            _ => self.meets(fault, |disk| &disk.flush_error, target),
        };
        if let Some(path) = &failed {
            self.fate.happened(fault, 0, || path.display().to_string());
        }
        failed.is_some()
    }

    /// After a power loss: durable names that are gone all the same.
    pub(super) fn lose_names(&mut self) {
        let FileChance { chance, paths } = self.fate.faults().disk.vanished_name.clone();
        for (path, inode) in self.tree.files() {
            let size = self.size(inode);
            if is_among(&path, &paths)
                && self.fate.draws(Fault::VanishedName, chance)
                && self.fate.may_damage(&path, 0, size)
            {
                self.tree.lose(&path);
                self.fate.happened(Fault::VanishedName, 0, || path.display().to_string());
                self.fate.damaged(Fault::VanishedName, path, 0, size);
            }
        }
    }
}
