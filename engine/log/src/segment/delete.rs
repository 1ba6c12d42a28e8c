//! Deleting files without stalling the device: a big file is shrunk in steps with pauses and then unlinked, a
//! whole directory is first renamed into the trash. Every step may be cut short by a crash and repeated at boot.

use super::files::{FileKind, path, write_failed};
use super::segments::Segments;
use flumen_io::{File, Host, PathKind};
use flumen_model::Result;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file shrinks by this much at a time. Unlinking 2 GiB at once held the device for 300 ms; a step of this
/// size takes 6 to 20.
const SHRINK_BYTES: u64 = 16 << 20;
/// Between two steps, so that appends get at the device.
const SHRINK_PAUSE: Duration = Duration::from_millis(20);

/// Removes a file, in steps when it is big. A missing one is fine.
pub(super) async fn remove_file<H: Host>(host: &H, path: &Path) -> Result<()> {
    let result = match host.path_kind(path).await {
        Ok(PathKind::File(size)) if size > SHRINK_BYTES => shrink(host, path, size).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    let result = match result {
        Ok(()) => host.remove_file(path).await,
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write_failed(path, "delete", &error)),
        _ => Ok(()),
    }
}

async fn shrink<H: Host>(host: &H, path: &Path, mut size: u64) -> io::Result<()> {
    let file = host.open(path, FileKind::WRITE_EXISTING).await?;
    while size > SHRINK_BYTES {
        size -= SHRINK_BYTES;
        file.truncate(size).await?;
        host.sleep(SHRINK_PAUSE).await;
    }
    Ok(())
}

/// Removes a directory with all it holds. A missing one is fine.
async fn remove_tree<H: Host>(host: &H, root: &Path) -> Result<()> {
    let mut todo = vec![(root.to_owned(), false)];
    while let Some((path, emptied)) = todo.pop() {
        if emptied {
            let removed = host.remove_dir(&path).await;
            if let Err(error) = removed.or_else(missing_is_fine) {
                return Err(write_failed(&path, "delete", &error));
            }
            continue;
        }
        match host.path_kind(&path).await {
            Ok(PathKind::Directory) => {
                todo.push((path.clone(), true));
                todo.extend(list(host, &path).await?.into_iter().map(|entry| (entry, false)));
            }
            _ => remove_file(host, &path).await?,
        }
    }
    Ok(())
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The entries of a directory; none when it is missing.
async fn list<H: Host>(host: &H, dir: &Path) -> Result<Vec<PathBuf>> {
    match host.list_dir(dir).await {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(write_failed(dir, "list", &error)),
    }
}

/// Moves a directory of segments (a partition's, or a topic's with all its partitions) into `trash`, durably, and
/// then removes it at a gentle pace. A missing directory is fine: so it may be repeated. What a crash leaves in
/// the trash, [`empty_trash`] removes.
pub async fn delete_all<H: Host>(host: &H, dir: &Path, trash: &Path) -> Result<()> {
    match host.path_kind(dir).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(write_failed(dir, "look at", &error)),
        Ok(_) => {}
    }
    host.create_dir_all(trash).await.map_err(|error| write_failed(trash, "create", &error))?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let doomed = trash.join(format!("{name}-{:016x}", host.entropy()));
    host.rename(dir, &doomed).await.map_err(|error| write_failed(dir, "move to the trash", &error))?;
    for changed in [Some(trash), dir.parent(), trash.parent()].into_iter().flatten() {
        host.sync_dir(changed).await.map_err(|error| write_failed(changed, "make durable", &error))?;
    }
    remove_tree(host, &doomed).await
}

/// Removes what deletions that a crash cut short have left in the trash. For boot: the trash is made here, while
/// there is room for a directory, so that a deletion on a disk without a free block can give room.
pub async fn empty_trash<H: Host>(host: &H, trash: &Path) -> Result<()> {
    if let Err(error) = host.create_dir_all(trash).await {
        tracing::warn!(dir = %trash.display(), %error, "the trash cannot be made yet: deletions will try again");
    }
    for entry in list(host, trash).await? {
        remove_tree(host, &entry).await?;
    }
    Ok(())
}

impl<H: Host> Segments<H> {
    /// Removes the files of the partition's directory that belong to no segment: leftovers of a crash. For boot,
    /// after [`Segments::trim`].
    pub async fn remove_orphans(&self, host: &H) -> Result<()> {
        let _turn = self.turn.enter(1).await;
        let dir = &self.spec.dir;
        let entries = list(host, dir).await?;
        let known: BTreeSet<PathBuf> = {
            let inner = self.inner();
            let sealed = inner.sealed.iter().map(|segment| segment.base_offset);
            let bases = sealed.chain(inner.active.iter().map(|active| active.base_offset));
            bases
                .flat_map(|base| [FileKind::Log, FileKind::Index].map(|kind| path(dir, base, kind)))
                .collect()
        };
        for orphan in entries.iter().filter(|entry| !known.contains(*entry)) {
            remove_tree(host, orphan).await?;
        }
        Ok(())
    }
}
