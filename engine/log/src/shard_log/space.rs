//! The free space, and what is done about it. Three watermarks: a warning; users' records refused; and a reserve, a
//! file of its own that is given back when spreading or deleting finds no room, so that what is acked gets to its
//! segments and what is deleted goes. Records are taken again only once the reserve is whole: then there is room, also
//! where a quota ends before the filesystem does. It never decides what is deleted.

use super::ShardLog;
use crate::group_log::GroupLog;
use crate::segment::write_failed;
use flumen_io::{Access, File, Host, PathKind};
use flumen_model::{Code, Error, GroupId, Result};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What a shard knows of its space.
pub(super) struct Space<H: Host> {
    /// Users' records are refused.
    full: Cell<bool>,
    /// The warning was given.
    short: Cell<bool>,
    /// The reserve's file is whole. Nobody has looked before the first [`ShardLog::watch_space`].
    reserve: Cell<bool>,
    /// Something other than spreading found no room.
    wanted: Cell<bool>,
    /// Groups whose batches found no room in a segment.
    starved: RefCell<BTreeMap<GroupId, Rc<GroupLog<H>>>>,
}

impl<H: Host> Default for Space<H> {
    fn default() -> Space<H> {
        Space {
            full: Cell::new(false),
            short: Cell::new(false),
            reserve: Cell::new(false),
            wanted: Cell::new(false),
            starved: RefCell::default(),
        }
    }
}

impl<H: Host> Space<H> {
    pub(super) fn is_full(&self) -> bool {
        self.full.get()
    }

    /// A group's batches stay in memory and journal for lack of room.
    pub(super) fn starve(&self, log: &Rc<GroupLog<H>>, error: &Error) {
        self.starved.borrow_mut().insert(log.group(), log.clone());
        self.refuse(&error.message);
    }

    /// Gives the reserve back at the next look when it was room that lacked.
    pub(super) fn note<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && error.code == Code::DiskFull
        {
            self.wanted.set(true);
            self.refuse(&error.message);
        }
        result
    }

    fn refuse(&self, reason: &str) {
        if !self.full.replace(true) {
            tracing::error!(
                reason,
                "disk full: users' records are refused; delete or trim, or give the disk more room"
            );
        }
    }

    fn accept(&self, free: u64) {
        if self.full.replace(false) {
            tracing::warn!(free, "space again: users' records are taken");
        }
    }

    fn is_starved(&self) -> bool {
        self.wanted.get() || !self.starved.borrow().is_empty()
    }
}

impl<H: Host> ShardLog<H> {
    /// True while users' records are refused for lack of space.
    pub fn is_full(&self) -> bool {
        self.space.is_full()
    }

    /// Looks at the free space and applies the watermarks; tries again what found no room. Returns the free bytes.
    /// To be called every second or so, by one task.
    ///
    /// # Errors
    /// What the filesystem says, other than that it is full.
    pub async fn watch_space(&self) -> Result<u64> {
        let (limits, reserve_bytes) = (&self.spec.limits, self.spec.reserve_bytes);
        let free = self.free_bytes().await?;
        if self.space.is_starved() {
            self.release_reserve().await?;
            self.space.wanted.set(false);
            self.space.starved.take().values().for_each(|log| self.queue_spread(log));
        } else if !self.space.reserve.get() {
            self.keep_reserve(free >= limits.disk_refuse_bytes + reserve_bytes).await?;
        }
        if free < limits.disk_refuse_bytes {
            self.space.refuse("less is free than limits.disk_refuse_bytes");
        } else if !self.space.reserve.get() {
            self.space.refuse("there is no room for limits.disk_reserve_bytes");
        } else if !self.space.is_starved() {
            self.space.accept(free);
        }
        let short = free < limits.disk_warn_bytes;
        if !self.space.short.replace(short) && short && !self.is_full() {
            tracing::warn!(free, limit = limits.disk_warn_bytes, "disk space is getting short");
        }
        Ok(free)
    }

    async fn free_bytes(&self) -> Result<u64> {
        let dir: &Path = &self.spec.dir;
        let space = self.host.space(dir).await.map_err(|error| {
            Error::new(Code::LogFailed, format!("cannot read the free space of {}: {error}", dir.display()))
        })?;
        Ok(space.free)
    }

    fn reserve_path(&self) -> PathBuf {
        self.spec.dir.join("reserve")
    }

    /// Finds the reserve's file of an earlier run, or makes one where there is room for it.
    async fn keep_reserve(&self, is_room: bool) -> Result<()> {
        let (path, bytes) = (self.reserve_path(), self.spec.reserve_bytes);
        if bytes == 0 {
            self.release_reserve().await?;
            self.space.reserve.set(true);
            return Ok(());
        }
        let made = match self.host.path_kind(&path).await {
            Ok(PathKind::File(found)) if found == bytes => Ok(()),
            _ if !is_room => return Ok(()),
            _ => self.make_reserve(&path, bytes).await,
        };
        match made {
            Ok(()) => self.space.reserve.set(true),
            // A part of it would be of no use.
            Err(error) if error.code == Code::DiskFull => self.release_reserve().await?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn make_reserve(&self, path: &Path, bytes: u64) -> Result<()> {
        let failed = |doing, error| write_failed(path, doing, &error);
        let file = self.host.open(path, Access::WRITE).await.map_err(|error| failed("create", error))?;
        // Another size may have been configured before.
        file.truncate(0).await.map_err(|error| failed("cut", error))?;
        file.allocate(0, bytes).await.map_err(|error| failed("reserve space in", error))
    }

    /// Gives the reserve back to the filesystem.
    async fn release_reserve(&self) -> Result<()> {
        let path = self.reserve_path();
        match self.host.remove_file(&path).await {
            Ok(()) if self.space.reserve.replace(false) => {
                tracing::warn!(
                    bytes = self.spec.reserve_bytes,
                    "the reserve is given back: spreading and deleting go on"
                );
            }
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.space.reserve.set(false),
            Err(error) => return Err(write_failed(&path, "remove", &error)),
        }
        Ok(())
    }
}
