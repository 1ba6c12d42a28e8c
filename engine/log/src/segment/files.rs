//! The open files of a shard's segments and the index blocks in memory: two bounded sets, the least recently used
//! go first. Names files; never decides what is in them.

use super::index_file::IndexBlock;
use super::lru::Lru;
use flumen_io::{Access, Host};
use flumen_model::{Code, Error};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Which of a segment's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    /// The batches.
    Log,
    /// The chunk index.
    Index,
}

impl FileKind {
    /// Opens for writing without creating: a file that should be there and is not is damage.
    pub(crate) const WRITE_EXISTING: Access =
        Access { write: true, create: false, create_new: false, durable: false };

    fn extension(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::Index => "idx",
        }
    }
}

/// The path of a segment's file.
pub(crate) fn path(dir: &Path, base_offset: u64, kind: FileKind) -> PathBuf {
    dir.join(format!("{base_offset:020}.{}", kind.extension()))
}

/// Where an index is rebuilt before it gets its name.
pub(crate) fn rebuilt_index_path(dir: &Path, base_offset: u64) -> PathBuf {
    dir.join(format!("{base_offset:020}.idx.new"))
}

type FileKey = (u64, u64, FileKind);
type BlockKey = (u64, u64, u32);

/// Open segment files and index blocks of one shard, shared by its partitions. Bounded by
/// [`flumen_model::limits::Limits::open_segments_max`] files and as many blocks of 4 KiB.
pub struct OpenFiles<H: Host> {
    files: RefCell<Lru<FileKey, H::File>>,
    blocks: RefCell<Lru<BlockKey, Rc<IndexBlock>>>,
    next_owner: Cell<u64>,
}

impl<H: Host> OpenFiles<H> {
    /// An empty set of at most `open_max` files.
    pub fn new(open_max: usize) -> OpenFiles<H> {
        OpenFiles {
            files: RefCell::new(Lru::new(open_max)),
            blocks: RefCell::new(Lru::new(open_max)),
            next_owner: Cell::new(0),
        }
    }

    /// A number for a partition's files, never given twice.
    pub(crate) fn new_owner(&self) -> u64 {
        let owner = self.next_owner.get();
        self.next_owner.set(owner + 1);
        owner
    }

    /// The open file, if it is.
    pub(crate) fn get(&self, owner: u64, base_offset: u64, kind: FileKind) -> Option<H::File> {
        self.files.borrow_mut().get((owner, base_offset, kind)).cloned()
    }

    /// Keeps a file open.
    pub(crate) fn put(&self, owner: u64, base_offset: u64, kind: FileKind, file: H::File) {
        // What falls out closes its descriptor: not while the set is borrowed.
        let fallen = self.files.borrow_mut().put((owner, base_offset, kind), file);
        drop(fallen);
    }

    /// An index block in memory.
    pub(crate) fn block(&self, owner: u64, base_offset: u64, block: u32) -> Option<Rc<IndexBlock>> {
        self.blocks.borrow_mut().get((owner, base_offset, block)).cloned()
    }

    /// Keeps an index block.
    pub(crate) fn put_block(&self, owner: u64, base_offset: u64, block: u32, entries: Rc<IndexBlock>) {
        self.blocks.borrow_mut().put((owner, base_offset, block), entries);
    }

    /// Closes a segment's files and forgets its index.
    pub(crate) fn forget(&self, owner: u64, base_offset: u64) {
        let files = (owner, base_offset, FileKind::Log)..=(owner, base_offset, FileKind::Index);
        let closed = self.files.borrow_mut().forget(files);
        drop(closed);
        self.blocks.borrow_mut().forget((owner, base_offset, 0)..=(owner, base_offset, u32::MAX));
    }

    /// Closes all files of a partition.
    pub(crate) fn forget_owner(&self, owner: u64) {
        let closed =
            self.files.borrow_mut().forget((owner, 0, FileKind::Log)..=(owner, u64::MAX, FileKind::Index));
        drop(closed);
        self.blocks.borrow_mut().forget((owner, 0, 0)..=(owner, u64::MAX, u32::MAX));
    }
}

/// Stored data that is damaged or cannot be read, with its place.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) file: PathBuf,
    pub(crate) position: u64,
    pub(crate) what: String,
}

/// What was read, if it is intact.
pub(crate) type Checked<T> = Result<T, Fault>;

impl Fault {
    /// Damage at a place.
    #[cold]
    pub(crate) fn new(file: &Path, position: u64, what: impl std::fmt::Display) -> Fault {
        Fault { file: file.to_owned(), position, what: what.to_string() }
    }

    /// A read that failed: to the reader the data is as good as damaged.
    #[cold]
    pub(crate) fn read(file: &Path, position: u64, error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::NotFound => Fault::new(file, position, "the file is missing"),
            _ => Fault::new(file, position, format_args!("the read failed ({error})")),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let Fault { file, position, what } = fault;
        let file = file.display();
        let message =
            format!("{file} at byte {position}: {what}; run `flumen check` and restore it from a replica");
        Error::new(Code::Corrupt, message)
    }
}

/// A write, flush or change of names that failed.
#[cold]
pub(crate) fn write_failed(path: &Path, doing: &str, error: &io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
        _ => Code::LogFailed,
    };
    Error::new(code, format!("cannot {doing} {}: {error}", path.display()))
}
