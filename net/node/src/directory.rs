//! The data directory: found, locked, or formatted when it is new. One node at a time; a directory of a newer format
//! or one that holds something else is refused, never touched.

use crate::NodeConfig;
use flumen_io::{Host, Lock};
use flumen_log::ShardLogSpec;
use flumen_log::journal;
use flumen_log::superblock::{FORMAT_VERSION, Superblock};
use flumen_model::limits::{BLOCK_BYTES, JOURNAL_FILES, Limits};
use flumen_model::{Code, Error, Result, ShardId};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What may lie in a directory that was never formatted to the end.
const OURS: [&str; 4] = ["shard-", "super.", "lock", "device-profile."];

/// A directory that is ours now.
pub struct Found {
    /// What it says about itself.
    pub superblock: Superblock,
    /// Keeps every other node out.
    pub lock: Lock,
}

/// Where a shard lies.
pub fn shard_dir(data: &Path, shard: ShardId) -> PathBuf {
    data.join(format!("shard-{:02}", shard.0))
}

/// A shard's log as the superblock describes it.
pub(crate) fn shard_spec(
    data: &Path,
    superblock: &Superblock,
    shard: ShardId,
    limits: &Limits,
) -> ShardLogSpec {
    ShardLogSpec {
        dir: shard_dir(data, shard),
        directory_id: superblock.directory_id,
        shard,
        journal_file_bytes: superblock.journal_file_bytes,
        journal_files: superblock.journal_files as usize,
        reserve_bytes: reserve_bytes(limits, superblock.shards),
        limits: limits.clone(),
    }
}

/// A shard's part of the node's reserve, in whole blocks.
fn reserve_bytes(limits: &Limits, shards: u16) -> u64 {
    let part = limits.disk_reserve_bytes / u64::from(shards.max(1));
    part - part % BLOCK_BYTES as u64
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(Code::LogFailed, format!("{doing} {}: {error}", path.display()))
}

/// Locks the directory of an existing node, or formats a new one.
///
/// # Errors
/// Another node has it, it holds something else, it is of a newer format, or the disk says no.
pub async fn open_directory<H: Host>(
    host: &H,
    config: &NodeConfig,
    progress: impl FnMut(u64, u64),
) -> Result<Found> {
    let data = &config.data;
    if !config.require_existing {
        host.create_dir_all(data).await.map_err(|error| failed("cannot create", data, &error))?;
    }
    let lock = lock(host, data).await?;
    if let Some(superblock) = Superblock::load(host, data).await? {
        return Ok(Found { superblock, lock });
    }
    if config.require_existing {
        let message = format!(
            "{} holds no node, and require_existing is set: is its disk mounted? Clear the setting to format it",
            data.display()
        );
        return Err(Error::new(Code::InvalidRequest, message));
    }
    refuse_foreign(host, data).await?;
    let superblock = format(host, config, progress).await?;
    Ok(Found { superblock, lock })
}

/// Takes the directory's lock.
///
/// # Errors
/// [`Code::Busy`] when another process has it.
pub(crate) async fn lock<H: Host>(host: &H, data: &Path) -> Result<Lock> {
    let path = data.join("lock");
    host.lock(&path).await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::new(
            Code::Busy,
            format!(
                "another node runs on {}: stop it first, or give this one a directory of its own",
                data.display()
            ),
        ),
        _ => failed("cannot lock", &path, &error),
    })
}

/// A directory with somebody else's files in it is a mistake, not a new node.
async fn refuse_foreign<H: Host>(host: &H, data: &Path) -> Result<()> {
    let entries = host.list_dir(data).await.map_err(|error| failed("cannot list", data, &error))?;
    for entry in entries {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ours =
            OURS.iter().any(|ours| name.starts_with(ours)) || name.starts_with('.') || name == "lost+found";
        if !ours {
            let message = format!(
                "{} is not empty and holds no node (there is {name}): give the node a directory of its own",
                data.display()
            );
            return Err(Error::new(Code::InvalidRequest, message));
        }
    }
    Ok(())
}

async fn format<H: Host>(
    host: &H,
    config: &NodeConfig,
    mut progress: impl FnMut(u64, u64),
) -> Result<Superblock> {
    let bits = (u128::from(host.entropy()) << 64) | u128::from(host.entropy());
    let journal_bytes = config.limits.journal_bytes;
    let superblock = Superblock {
        sequence: 1,
        format_version: FORMAT_VERSION,
        reader_version_min: FORMAT_VERSION,
        finalized_version: FORMAT_VERSION,
        features: 0,
        directory_id: uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid(),
        cluster_id: Uuid::nil(),
        node_name: String::new(),
        shards: config.shards.max(1),
        journal_files: JOURNAL_FILES as u32,
        journal_file_bytes: journal_bytes / JOURNAL_FILES as u64,
        created_ms: host.wall_ms(),
    };
    tracing::info!(data = %config.data.display(), shards = superblock.shards, journal_bytes, "formatting a new directory");
    let total = journal_bytes * u64::from(superblock.shards);
    for shard in 0..superblock.shards {
        let spec = shard_spec(&config.data, &superblock, ShardId(shard), &config.limits);
        host.create_dir_all(&spec.dir).await.map_err(|error| failed("cannot create", &spec.dir, &error))?;
        let before = journal_bytes * u64::from(shard);
        journal::format(host, &spec.journal_spec(), |done, _| progress(before + done, total)).await?;
        host.sync_dir(&spec.dir).await.map_err(|error| failed("cannot sync", &spec.dir, &error))?;
    }
    host.sync_dir(&config.data).await.map_err(|error| failed("cannot sync", &config.data, &error))?;
    sync_above(host, &config.data).await?;
    // Last: a directory that has it is a node's.
    superblock.create(host, &config.data).await?;
    Ok(superblock)
}

/// Makes the directory's own name durable, and those above it.
async fn sync_above<H: Host>(host: &H, data: &Path) -> Result<()> {
    for parent in data.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
        match host.sync_dir(parent).await {
            // Whoever may not open it did not make it either.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!(dir = %parent.display(), %error, "a directory above the data could not be synced");
            }
            synced => synced.map_err(|error| failed("cannot sync", parent, &error))?,
        }
    }
    Ok(())
}
