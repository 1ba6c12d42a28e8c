//! The superblock of a data directory: whose it is, in which format, and what was fixed when it was made. Two
//! copies, `super.A` and `super.B`, one block each, written in turn; a damaged one is written again from the
//! other. It never guesses: a directory of a newer format is refused.

use flumen_io::{Access, Buf, Durability, File, Host};
use flumen_model::limits::{BLOCK_BYTES, NAME_BYTES_MAX};
use flumen_model::{Code, Error, Result};
use rkyv::rancor::Failure;
use rkyv::ser::writer::Buffer;
use std::io::ErrorKind;
use std::path::Path;
use uuid::Uuid;

/// The directory format that this build writes once it is finalized, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Feature bits that this build knows.
pub const FEATURES_KNOWN: u64 = 0;
const MAGIC: [u8; 8] = *b"FLUMEN\0S";
const COPIES: [&str; 2] = ["super.A", "super.B"];

/// What a data directory says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Counts the writes of the superblock; the copy with the higher number is the newer.
    pub sequence: u64,
    /// The directory format of whoever wrote this.
    pub format_version: u32,
    /// The oldest format version whose readers may open the directory.
    pub reader_version_min: u32,
    /// The format that may be written: raised by an explicit `finalize` only, so that a rollback works.
    pub finalized_version: u32,
    /// Features in use that a reader must know.
    pub features: u64,
    /// The random id that seeds every checksum in the directory.
    pub directory_id: Uuid,
    /// The cluster; nil for a node of its own.
    pub cluster_id: Uuid,
    /// The node's name.
    pub node_name: String,
    /// Shards of the node, fixed when it was formatted.
    pub shards: u16,
    /// Files of each shard's journal when it was formatted.
    pub journal_files: u32,
    /// Bytes of each journal file.
    pub journal_file_bytes: u64,
    /// Wall clock when the directory was formatted.
    pub created_ms: i64,
}

/// The superblock as it lies on disk. Field order is the format; `crc`, `magic`, `format_version` and
/// `reader_version_min` stay where they are in every version to come, and the CRC covers the rest of the block.
#[derive(rkyv::Archive, rkyv::Serialize)]
struct Layout {
    /// CRC-32C of bytes 4..4096.
    crc: u32,
    format_version: u32,
    magic: [u8; 8],
    reader_version_min: u32,
    finalized_version: u32,
    sequence: u64,
    features: u64,
    directory_id: [u8; 16],
    cluster_id: [u8; 16],
    created_ms: i64,
    journal_file_bytes: u64,
    journal_files: u32,
    shards: u16,
    node_name_len: u16,
    node_name: [u8; 256],
}

const LAYOUT_BYTES: usize = 352;
const _: () =
    assert!(size_of::<ArchivedLayout>() == LAYOUT_BYTES, "the superblock is flat and has no padding");
const _: () = assert!(NAME_BYTES_MAX <= 256, "a name fits its field");

impl Superblock {
    /// Encodes into a block.
    ///
    /// # Panics
    /// When the node's name is over [`NAME_BYTES_MAX`]: configuration checks that.
    fn encode(&self, block: &mut [u8]) {
        let name = self.node_name.as_bytes();
        assert!(name.len() <= NAME_BYTES_MAX, "a node name of {} bytes", name.len());
        let mut node_name = [0; 256];
        node_name[..name.len()].copy_from_slice(name);
        let layout = Layout {
            crc: 0,
            format_version: self.format_version,
            magic: MAGIC,
            reader_version_min: self.reader_version_min,
            finalized_version: self.finalized_version,
            sequence: self.sequence,
            features: self.features,
            directory_id: self.directory_id.into_bytes(),
            cluster_id: self.cluster_id.into_bytes(),
            created_ms: self.created_ms,
            journal_file_bytes: self.journal_file_bytes,
            journal_files: self.journal_files,
            shards: self.shards,
            node_name_len: name.len() as u16,
            node_name,
        };
        block.fill(0);
        rkyv::api::serialize_using::<_, Failure>(&layout, &mut Buffer::from(&mut block[..LAYOUT_BYTES]))
            .expect("a block holds the superblock");
        let crc = crc32c::crc32c(&block[4..]);
        block[..4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Decodes a copy, or `None` when the block holds none. Of a format that this build cannot read, the
    /// versions are right and nothing else need be.
    fn decode(block: &[u8]) -> Option<Superblock> {
        let block = block.get(..BLOCK_BYTES)?;
        let layout = rkyv::access::<ArchivedLayout, Failure>(&block[..LAYOUT_BYTES]).ok()?;
        if layout.magic != MAGIC || layout.crc != crc32c::crc32c(&block[4..]) {
            return None;
        }
        let name_len = usize::from(u16::from(layout.node_name_len));
        let name = layout.node_name.get(..name_len).filter(|name| name.len() <= NAME_BYTES_MAX);
        let node_name = match name.and_then(|name| std::str::from_utf8(name).ok()) {
            Some(name) => name.to_owned(),
            // A newer format may keep something else there; it is refused by its versions.
            None if u32::from(layout.reader_version_min) > FORMAT_VERSION => String::new(),
            None => return None,
        };
        Some(Superblock {
            sequence: layout.sequence.into(),
            format_version: layout.format_version.into(),
            reader_version_min: layout.reader_version_min.into(),
            finalized_version: layout.finalized_version.into(),
            features: layout.features.into(),
            directory_id: Uuid::from_bytes(layout.directory_id),
            cluster_id: Uuid::from_bytes(layout.cluster_id),
            node_name,
            shards: layout.shards.into(),
            journal_files: layout.journal_files.into(),
            journal_file_bytes: layout.journal_file_bytes.into(),
            created_ms: layout.created_ms.into(),
        })
    }

    /// Refuses what this build cannot read.
    fn check(&self, dir: &Path) -> Result<()> {
        if self.reader_version_min > FORMAT_VERSION {
            let message = format!(
                "{} was written in format {} and needs a reader of format {} or newer, but this build reads up to {}: \
                 start a newer version",
                dir.display(),
                self.format_version,
                self.reader_version_min,
                FORMAT_VERSION
            );
            return Err(Error::new(Code::Unsupported, message));
        }
        let unknown = self.features & !FEATURES_KNOWN;
        if unknown != 0 {
            let message = format!(
                "{} was written in format {} with features {unknown:#x} that this build (format {}) does not know: \
                 start a newer version",
                dir.display(),
                self.format_version,
                FORMAT_VERSION
            );
            return Err(Error::new(Code::Unsupported, message));
        }
        Ok(())
    }

    /// Reads the superblock of a data directory: the newest intact copy. A damaged or missing copy is written
    /// again from the other. `None` when the directory was never formatted to the end.
    ///
    /// # Errors
    /// A newer format, both copies damaged, or the disk.
    pub async fn load<H: Host>(host: &H, dir: &Path) -> Result<Option<Superblock>> {
        let mut copies = Vec::with_capacity(COPIES.len());
        for name in COPIES {
            copies.push(read(host, &dir.join(name)).await?);
        }
        let decoded: Vec<_> =
            copies.iter().map(|copy| copy.as_deref().and_then(Superblock::decode)).collect();
        let Some(newest) = decoded.iter().flatten().max_by_key(|copy| copy.sequence).cloned() else {
            // The second copy is made after the first is durable: without it, formatting was cut off.
            if copies[1].is_none() {
                return Ok(None);
            }
            let message = format!(
                "both copies of the superblock in {} are damaged: restore super.A or super.B from a backup",
                dir.display()
            );
            return Err(Error::new(Code::Corrupt, message));
        };
        newest.check(dir)?;
        for (name, copy) in COPIES.iter().zip(&decoded) {
            if copy.is_none() {
                tracing::warn!(copy = name, dir = %dir.display(), "a copy of the superblock is damaged: writing it again");
                newest.write(host, dir, name).await?;
            }
        }
        Ok(Some(newest))
    }

    /// Writes both copies of a new directory's superblock, durably, one after the other.
    ///
    /// # Errors
    /// The disk.
    pub async fn create<H: Host>(&self, host: &H, dir: &Path) -> Result<()> {
        for name in COPIES {
            self.write(host, dir, name).await?;
        }
        Ok(())
    }

    /// Writes the next copy in turn, durably, under the next sequence number.
    ///
    /// # Errors
    /// The disk. The copy before is intact all the same.
    pub async fn store<H: Host>(&mut self, host: &H, dir: &Path) -> Result<()> {
        self.sequence += 1;
        self.write(host, dir, COPIES[(self.sequence % 2) as usize]).await
    }

    async fn write<H: Host>(&self, host: &H, dir: &Path, name: &str) -> Result<()> {
        let path = dir.join(name);
        let failed = |error| failed(&path, "written", &error);
        let file = host.open(&path, Access::WRITE).await.map_err(failed)?;
        let mut buf = host.buf(BLOCK_BYTES);
        self.encode(buf.bytes_mut());
        let (result, _) = file.write_at(buf, 0, Durability::Volatile).await;
        result.map_err(failed)?;
        file.sync_data().await.map_err(failed)?;
        host.sync_dir(dir).await.map_err(failed)
    }
}

/// The bytes of a copy, or `None` when it is missing or empty. What cannot be read is as good as damaged.
async fn read<H: Host>(host: &H, path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match host.open(path, Access::READ).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "opened", &error)),
    };
    match file.read_at(0, BLOCK_BYTES).await {
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => Ok(Some(bytes.to_vec())),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a copy of the superblock cannot be read");
            Ok(Some(Vec::new()))
        }
    }
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> Error {
    Error::new(Code::LogFailed, format!("{} cannot be {what}: {error}; check the disk", path.display()))
}

#[cfg(test)]
mod tests;
