//! The simulated disk: names, contents, space, operations in flight and the faults that a test asked for. It
//! says what an operation does and how long it takes; the host says when. Knows no tasks.

use super::content::{Content, Loss, SECTOR_BYTES, Shape};
use super::disk_faults::{Landing, Target};
use super::fate::{Fate, Fault};
use super::names::{Inode, Node, Tree};
use super::rng::Rng;
use crate::seam::{Access, PathKind, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What the disk says when nobody limits it.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// The kinds of operation that a test can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// [`crate::File::read_at`].
    Read,
    /// [`crate::File::write_at`].
    Write,
    /// [`crate::File::sync_data`], and the flush of a directory.
    Sync,
}

/// A fault that a test asked for.
#[derive(Debug)]
struct Asked {
    op: DiskOp,
    pattern: String,
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) inode: Inode,
    pub(super) position: u64,
    pub(super) bytes: Vec<u8>,
    durable: bool,
}

/// A write that has begun; the disk keeps its bytes until [`Disk::finish_write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WriteId(u64);

/// What a flush covers: fixed when it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flush {
    inode: Inode,
    seq: u64,
    size: u64,
}

#[derive(Debug)]
pub(super) struct Disk {
    rng: Rng,
    pub(super) fate: Rc<Fate>,
    pub(super) tree: Tree,
    pub(super) files: BTreeMap<Inode, Content>,
    open: BTreeMap<Inode, usize>,
    locks: BTreeSet<PathBuf>,
    in_flight: BTreeMap<WriteId, InFlight>,
    asked: Vec<Asked>,
    space_limit: Option<u64>,
    /// A lower limit, drawn by chance.
    pub(super) squeeze: Option<u64>,
    pub(super) versions_max: usize,
    seq: u64,
    bytes_read: u64,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl Disk {
    pub(super) fn new(rng: Rng, fate: Rc<Fate>) -> Disk {
        Disk {
            rng,
            fate,
            tree: Tree::default(),
            files: BTreeMap::new(),
            open: BTreeMap::new(),
            locks: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            asked: Vec::new(),
            space_limit: None,
            squeeze: None,
            versions_max: 0,
            seq: 0,
            bytes_read: 0,
        }
    }

    pub(super) fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }

    pub(super) fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// How long an operation that begins now takes, in nanoseconds: a base and the transfer, at about 2 GB/s.
    pub(super) fn delay(&mut self, target: Target<'_>, base_nanos: u64, bytes: usize) -> u64 {
        self.pass_time();
        self.slowness(target) + base_nanos + self.rng.below(base_nanos) + bytes as u64 / 2
    }

    pub(super) fn open(&mut self, path: &Path, access: Access) -> io::Result<Inode> {
        let inode = match self.tree.find(path) {
            Ok(Node::File(_)) if access.create_new => return Err(io::ErrorKind::AlreadyExists.into()),
            Ok(Node::File(inode)) => inode,
            Ok(Node::Directory(_)) => return Err(io::ErrorKind::IsADirectory.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound && (access.create || access.create_new) => {
                let inode = self.tree.create_file(path)?;
                let mut content = Content::default();
                content.set_versions_max(self.versions_max);
                self.files.insert(inode, content);
                inode
            }
            Err(e) => return Err(e),
        };
        *self.open.entry(inode).or_insert(0) += 1;
        Ok(inode)
    }

    pub(super) fn close(&mut self, inode: Inode) {
        let Some(count) = self.open.get_mut(&inode) else { return };
        *count -= 1;
        if *count == 0 {
            self.open.remove(&inode);
            self.forget_unknown();
        }
    }

    /// Forgets what [`Disk::sweep`] would, if there is anything.
    fn forget_unknown(&mut self) {
        if self.tree.has_nameless() {
            self.sweep();
        }
    }

    /// Forgets the contents that no name and no descriptor leads to, not even after a crash.
    fn sweep(&mut self) {
        let known = self.tree.known();
        let in_flight: Vec<Inode> = self.in_flight.values().map(|write| write.inode).collect();
        self.files.retain(|inode, _| {
            known.contains(inode) || self.open.contains_key(inode) || in_flight.contains(inode)
        });
        self.tree.forget_nameless(|inode| self.files.contains_key(&inode));
    }

    pub(super) fn content(&mut self, inode: Inode) -> &mut Content {
        self.files.get_mut(&inode).expect("open files keep their contents")
    }

    pub(super) fn size(&self, inode: Inode) -> u64 {
        self.files.get(&inode).map_or(0, Content::size)
    }

    pub(super) fn kind(&self, path: &Path) -> io::Result<PathKind> {
        self.tree.kind(path, |inode| self.size(inode))
    }

    /// Free and total bytes.
    pub(super) fn space(&self) -> Space {
        let total = self.space_limit.unwrap_or(UNLIMITED_BYTES);
        let limit = total.min(self.squeeze.unwrap_or(u64::MAX));
        Space { free: limit.saturating_sub(self.used()), total }
    }

    /// Bytes that files with a name or a descriptor take.
    pub(super) fn used(&self) -> u64 {
        let counts = |inode: &Inode| self.tree.is_linked(*inode) || self.open.contains_key(inode);
        self.files.iter().filter(|(i, _)| counts(i)).map(|(_, f)| f.allocated_bytes()).sum()
    }

    fn check_space(&self, missing: u64) -> io::Result<()> {
        let is_limited = self.space_limit.is_some() || self.squeeze.is_some();
        if is_limited && missing > 0 && missing > self.space().free {
            if self.squeeze.is_some() {
                self.fate.happened(Fault::NoSpace, missing, || format!("{missing} bytes do not fit"));
            }
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Writes a line of the story about a file, if anybody wants one.
    fn tell(&self, inode: Inode, what: impl FnOnce() -> String) {
        self.fate.tell(|| {
            let path = self.tree.path_of(inode);
            let name = path.map_or_else(|| format!("(file {inode})"), |path| path.display().to_string());
            format!("{name}: {}", what())
        });
    }

    /// Takes the fault that the next such operation on this file meets, if a test set one.
    fn take_asked(&mut self, op: DiskOp, path: impl FnOnce(&Tree) -> Option<PathBuf>) -> bool {
        if !self.asked.iter().any(|asked| asked.op == op) {
            return false;
        }
        let Some(path) = path(&self.tree) else { return false };
        let path = path.to_string_lossy().into_owned();
        let place = self.asked.iter().position(|asked| asked.op == op && path.contains(&asked.pattern));
        place.map(|place| self.asked.remove(place)).is_some()
    }

    /// Hands a write to the device. From here on a crash may keep any of its sectors.
    pub(super) fn begin_write(
        &mut self,
        inode: Inode,
        position: u64,
        bytes: Vec<u8>,
        durable: bool,
    ) -> WriteId {
        let id = WriteId(self.next_seq());
        self.tell(inode, || {
            let kind = if durable { "durable" } else { "volatile" };
            format!("write {} at {position}, {kind}: begins as {}", bytes.len(), id.0)
        });
        self.in_flight.insert(id, InFlight { inode, position, bytes, durable });
        id
    }

    /// The device has done the write. Gives the bytes back.
    pub(super) fn finish_write(&mut self, id: WriteId) -> (io::Result<()>, Vec<u8>) {
        let write = self.in_flight.remove(&id).expect("finished once");
        let inode = write.inode;
        let (result, bytes) = self.carry_out(write);
        self.tell(inode, || match &result {
            Ok(()) => format!("write {} is done", id.0),
            Err(e) => format!("write {} failed: {e}", id.0),
        });
        (result, bytes)
    }

    fn carry_out(&mut self, write: InFlight) -> (io::Result<()>, Vec<u8>) {
        let missing = self.content(write.inode).missing_bytes(write.position, write.bytes.len() as u64);
        if let Err(e) = self.check_space(missing) {
            return (Err(e), write.bytes);
        }
        if self.take_asked(DiskOp::Write, |tree| tree.path_of(write.inode)) || self.write_fails(&write) {
            self.write_some(&write);
            return (Err(eio()), write.bytes);
        }
        let (inode, position) = match self.landing(&write) {
            Landing::AsAsked => (write.inode, write.position),
            Landing::At(inode, position) => (inode, position),
            Landing::Nowhere => return (Ok(()), write.bytes),
        };
        let seq = self.next_seq();
        self.content(inode).write(position, &write.bytes, seq, write.durable);
        (Ok(()), write.bytes)
    }

    /// A write that broke off: each sector by its own chance, none of them durable.
    fn write_some(&mut self, write: &InFlight) {
        let seq = self.next_seq();
        let mut written = 0;
        for (index, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
            if self.rng.coin() {
                written += 1;
                let at = write.position + (index * SECTOR_BYTES) as u64;
                self.content(write.inode).write(at, sector, seq, false);
            }
        }
        let is_torn = written > 0 && written < write.bytes.len() / SECTOR_BYTES;
        self.fate.count(Fault::TornWrite, u64::from(is_torn));
    }

    pub(super) fn read(&mut self, inode: Inode, position: u64, len: usize) -> io::Result<Vec<u8>> {
        if self.take_asked(DiskOp::Read, |tree| tree.path_of(inode)) || self.read_fails(inode, position, len)
        {
            return Err(eio());
        }
        let bytes = self.content(inode).read(position, len);
        self.bytes_read += bytes.len() as u64;
        self.tell(inode, || format!("read {} at {position}", bytes.len()));
        Ok(bytes)
    }

    pub(super) fn begin_flush(&mut self, inode: Inode) -> Flush {
        let seq = self.next_seq();
        self.tell(inode, || format!("flush begins as {seq}"));
        let content = self.content(inode);
        content.begin_flush();
        Flush { inode, seq, size: content.size() }
    }

    pub(super) fn finish_flush(&mut self, flush: Flush) -> io::Result<()> {
        let failed = self.take_asked(DiskOp::Sync, |tree| tree.path_of(flush.inode))
            || self.flush_fails(Fault::FlushError, Target::File(flush.inode));
        self.content(flush.inode).end_flush(flush.seq, flush.size, !failed);
        let end = if failed { "failed" } else { "is done" };
        self.tell(flush.inode, || format!("flush {} {end}", flush.seq));
        if failed { Err(eio()) } else { Ok(()) }
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let owned = path.to_owned();
        if self.take_asked(DiskOp::Sync, |_| Some(owned))
            || self.flush_fails(Fault::DirFlushError, Target::Path(path))
        {
            return Err(eio());
        }
        self.tree.sync(path)?;
        self.forget_unknown();
        Ok(())
    }

    pub(super) fn allocate(&mut self, inode: Inode, position: u64, len: u64) -> io::Result<()> {
        let missing = self.content(inode).missing_bytes(position, len);
        self.check_space(missing)?;
        self.tell(inode, || format!("reserve {len} at {position}"));
        self.content(inode).allocate(position, len);
        Ok(())
    }

    pub(super) fn truncate(&mut self, inode: Inode, len: u64) {
        let seq = self.next_seq();
        self.tell(inode, || format!("cut to {len}"));
        self.content(inode).truncate(len, seq);
    }

    /// Locks a file, which is created when missing.
    pub(super) fn lock(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.open(path, Access::WRITE)?;
        self.close(inode);
        if !self.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    pub(super) fn unlock(&mut self, path: &Path) {
        self.locks.remove(path);
    }

    /// The process is gone: descriptors and locks with it, and each sector of a write in flight reaches the
    /// device or not.
    pub(super) fn process_gone(&mut self) {
        for (_, write) in std::mem::take(&mut self.in_flight) {
            self.write_some(&write);
        }
        self.files.values_mut().for_each(Content::abandon_flushes);
        self.open.clear();
        self.locks.clear();
        self.forget_unknown();
    }

    /// Power loss.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let shaped = self.fate.faults().disk.shaped_crashes;
        let shape = if shaped { Shape::draw(rng, self.seq) } else { Shape::EachSector };
        self.fate.count(Fault::Crash, 1);
        self.fate.tell(|| format!("CRASH of the machine: keeps {shape:?} of what was not durable"));
        let lost = self.tree.crash(rng);
        self.fate.count(Fault::CrashLostName, lost);
        for content in self.files.values_mut() {
            let Loss { torn, reordered, old_versions } = content.crash(rng, shape);
            self.fate.count(Fault::TornWrite, torn);
            self.fate.count(Fault::CrashReordered, u64::from(reordered));
            self.fate.count(Fault::CrashOldVersion, old_versions);
        }
        self.lose_names();
        self.sweep();
    }

    /// Bytes that were read since the disk was made.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    pub(super) fn set_space_limit(&mut self, limit: Option<u64>) {
        self.space_limit = limit;
    }

    pub(super) fn fail_next(&mut self, op: DiskOp, pattern: &str) {
        self.asked.push(Asked { op, pattern: pattern.to_owned() });
    }

    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        self.tree.files().into_iter().map(|(path, inode)| (path, self.size(inode))).collect()
    }

    /// The contents of a file by its path.
    pub(super) fn by_path(&mut self, path: &Path) -> io::Result<&mut Content> {
        match self.tree.find(path)? {
            Node::File(inode) => Ok(self.content(inode)),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}
