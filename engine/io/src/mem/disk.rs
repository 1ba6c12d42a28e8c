//! The simulated disk: names, contents, space, operations in flight and the faults that a test asked for. It
//! says what an operation does and how long it takes; the host says when. Knows no tasks.

use super::content::{Content, SECTOR_BYTES};
use super::names::{Inode, Node, Tree};
use super::rng::Rng;
use crate::seam::{Access, PathKind, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

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

#[derive(Debug)]
struct Fault {
    op: DiskOp,
    pattern: String,
}

#[derive(Debug)]
struct InFlight {
    inode: Inode,
    position: u64,
    bytes: Vec<u8>,
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
    tree: Tree,
    files: BTreeMap<Inode, Content>,
    open: BTreeMap<Inode, usize>,
    locks: BTreeSet<PathBuf>,
    in_flight: BTreeMap<WriteId, InFlight>,
    faults: Vec<Fault>,
    space_limit: Option<u64>,
    seq: u64,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl Disk {
    pub(super) fn new(rng: Rng) -> Disk {
        Disk {
            rng,
            tree: Tree::default(),
            files: BTreeMap::new(),
            open: BTreeMap::new(),
            locks: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            faults: Vec::new(),
            space_limit: None,
            seq: 0,
        }
    }

    pub(super) fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }

    pub(super) fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// How long an operation takes, in nanoseconds: a base and the transfer, at about 2 GB/s.
    pub(super) fn delay(&mut self, base_nanos: u64, bytes: usize) -> u64 {
        base_nanos + self.rng.below(base_nanos) + bytes as u64 / 2
    }

    pub(super) fn open(&mut self, path: &Path, access: Access) -> io::Result<Inode> {
        let inode = match self.tree.find(path) {
            Ok(Node::File(_)) if access.create_new => return Err(io::ErrorKind::AlreadyExists.into()),
            Ok(Node::File(inode)) => inode,
            Ok(Node::Directory(_)) => return Err(io::ErrorKind::IsADirectory.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound && (access.create || access.create_new) => {
                let inode = self.tree.create_file(path)?;
                self.files.insert(inode, Content::default());
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

    /// Forgets the contents that no name and no descriptor leads to, not even after a crash.
    fn forget_unknown(&mut self) {
        let known = self.tree.known();
        let in_flight: Vec<Inode> = self.in_flight.values().map(|write| write.inode).collect();
        self.files.retain(|inode, _| {
            known.contains(inode) || self.open.contains_key(inode) || in_flight.contains(inode)
        });
    }

    fn content(&mut self, inode: Inode) -> &mut Content {
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
        let linked = self.tree.linked();
        let counts = |inode: &Inode| linked.contains(inode) || self.open.contains_key(inode);
        let used: u64 = self.files.iter().filter(|(i, _)| counts(i)).map(|(_, f)| f.allocated_bytes()).sum();
        Space { free: total.saturating_sub(used), total }
    }

    fn check_space(&self, missing: u64) -> io::Result<()> {
        if self.space_limit.is_some() && missing > 0 && missing > self.space().free {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Takes the fault that the next such operation on this file meets, if a test set one.
    fn take_fault(&mut self, op: DiskOp, path: impl FnOnce(&Tree) -> Option<PathBuf>) -> bool {
        if !self.faults.iter().any(|fault| fault.op == op) {
            return false;
        }
        let Some(path) = path(&self.tree) else { return false };
        let path = path.to_string_lossy().into_owned();
        let place = self.faults.iter().position(|fault| fault.op == op && path.contains(&fault.pattern));
        place.map(|place| self.faults.remove(place)).is_some()
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
        self.in_flight.insert(id, InFlight { inode, position, bytes, durable });
        id
    }

    /// The device has done the write. Gives the bytes back.
    pub(super) fn finish_write(&mut self, id: WriteId) -> (io::Result<()>, Vec<u8>) {
        let write = self.in_flight.remove(&id).expect("finished once");
        let missing = self.content(write.inode).missing_bytes(write.position, write.bytes.len() as u64);
        if let Err(e) = self.check_space(missing) {
            return (Err(e), write.bytes);
        }
        if self.take_fault(DiskOp::Write, |tree| tree.path_of(write.inode)) {
            self.write_some(&write);
            return (Err(eio()), write.bytes);
        }
        let seq = self.next_seq();
        self.content(write.inode).write(write.position, &write.bytes, seq, write.durable);
        (Ok(()), write.bytes)
    }

    /// A write that broke off: each sector by its own chance, none of them durable.
    fn write_some(&mut self, write: &InFlight) {
        for (index, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
            if self.rng.coin() {
                let seq = self.next_seq();
                let at = write.position + (index * SECTOR_BYTES) as u64;
                self.content(write.inode).write(at, sector, seq, false);
            }
        }
    }

    pub(super) fn read(&mut self, inode: Inode, position: u64, len: usize) -> io::Result<Vec<u8>> {
        if self.take_fault(DiskOp::Read, |tree| tree.path_of(inode)) {
            return Err(eio());
        }
        Ok(self.content(inode).read(position, len))
    }

    pub(super) fn begin_flush(&mut self, inode: Inode) -> Flush {
        let seq = self.next_seq();
        let content = self.content(inode);
        content.begin_flush();
        Flush { inode, seq, size: content.size() }
    }

    pub(super) fn finish_flush(&mut self, flush: Flush) -> io::Result<()> {
        let failed = self.take_fault(DiskOp::Sync, |tree| tree.path_of(flush.inode));
        self.content(flush.inode).end_flush(flush.seq, flush.size, !failed);
        if failed { Err(eio()) } else { Ok(()) }
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let owned = path.to_owned();
        if self.take_fault(DiskOp::Sync, |_| Some(owned)) {
            return Err(eio());
        }
        self.tree.sync(path)?;
        self.forget_unknown();
        Ok(())
    }

    pub(super) fn allocate(&mut self, inode: Inode, position: u64, len: u64) -> io::Result<()> {
        let missing = self.content(inode).missing_bytes(position, len);
        self.check_space(missing)?;
        self.content(inode).allocate(position, len);
        Ok(())
    }

    pub(super) fn truncate(&mut self, inode: Inode, len: u64) {
        let seq = self.next_seq();
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
        self.tree.crash(rng);
        for content in self.files.values_mut() {
            content.crash(rng);
        }
        self.forget_unknown();
    }

    pub(super) fn set_space_limit(&mut self, limit: Option<u64>) {
        self.space_limit = limit;
    }

    pub(super) fn fail_next(&mut self, op: DiskOp, pattern: &str) {
        self.faults.push(Fault { op, pattern: pattern.to_owned() });
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
