//! The header of a journal file: which use of the file this is, and what seeds its checksums. Two identical
//! blocks; either suffices. Pure: bytes in, bytes out.

use flumen_model::limits::BLOCK_BYTES;
use flumen_model::{Lsn, ShardId};
use rkyv::rancor::Failure;
use rkyv::ser::writer::Buffer;
use uuid::Uuid;

/// Copies of the header, one block each, at the front of the file.
pub(crate) const COPIES: usize = 2;
/// Where the first write of a file begins.
pub(crate) const DATA_START: u64 = (COPIES * BLOCK_BYTES) as u64;
/// Bytes of the header; the rest of its block is zero.
const HEADER_BYTES: usize = 128;
const MAGIC: [u8; 4] = *b"FLMJ";
/// The only file layout so far.
const VERSION: u16 = 1;

/// The header of one use of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// The shard whose journal this is.
    pub(crate) shard: ShardId,
    /// The data directory's random id.
    pub(crate) directory_id: Uuid,
    /// The number of this use: the ring's files in the order in which they were filled. From 1.
    pub(crate) seq: u64,
    /// Chance, new for every use.
    pub(crate) nonce: [u8; 16],
    /// The position of the file's byte 0 in this use.
    pub(crate) first: Lsn,
    /// The oldest use that was still needed when this header was written.
    pub(crate) oldest_live_seq: u64,
    /// The nonce of the use before.
    pub(crate) previous_nonce: [u8; 16],
    /// Where the use before ended; whatever it holds from there on does not count.
    pub(crate) previous_end: Lsn,
    /// Wall clock when it was written.
    pub(crate) created_ms: i64,
    /// Size of the file.
    pub(crate) file_bytes: u64,
}

/// The header as it lies on disk. Field order is the format.
#[derive(rkyv::Archive, rkyv::Serialize)]
struct Layout {
    /// CRC-32C of bytes 4..128.
    crc: u32,
    magic: [u8; 4],
    version: u16,
    shard: u16,
    reserved: u32,
    directory_id: [u8; 16],
    seq: u64,
    nonce: [u8; 16],
    first: u64,
    oldest_live_seq: u64,
    previous_nonce: [u8; 16],
    previous_end: u64,
    created_ms: i64,
    file_bytes: u64,
    zeros: [u8; 16],
}

const _: () = assert!(size_of::<ArchivedLayout>() == HEADER_BYTES, "the header is flat and has no padding");

impl FileHeader {
    /// Encodes one copy into a block.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        let layout = Layout {
            crc: 0,
            magic: MAGIC,
            version: VERSION,
            shard: self.shard.0,
            reserved: 0,
            directory_id: self.directory_id.into_bytes(),
            seq: self.seq,
            nonce: self.nonce,
            first: self.first.0,
            oldest_live_seq: self.oldest_live_seq,
            previous_nonce: self.previous_nonce,
            previous_end: self.previous_end.0,
            created_ms: self.created_ms,
            file_bytes: self.file_bytes,
            zeros: [0; 16],
        };
        let (header, rest) = block.split_at_mut(HEADER_BYTES);
        rkyv::api::serialize_using::<_, Failure>(&layout, &mut Buffer::from(&mut *header))
            .expect("a block holds the header");
        let crc = crc32c::crc32c(&header[4..]);
        header[..4].copy_from_slice(&crc.to_le_bytes());
        rest.fill(0);
    }

    /// Decodes one copy, or `None` when the block holds none.
    pub(crate) fn decode(block: &[u8]) -> Option<FileHeader> {
        let bytes = block.get(..HEADER_BYTES)?;
        let layout = rkyv::access::<ArchivedLayout, Failure>(bytes).ok()?;
        let known =
            layout.magic == MAGIC && layout.version == VERSION && layout.crc == crc32c::crc32c(&bytes[4..]);
        known.then(|| FileHeader {
            shard: ShardId(layout.shard.into()),
            directory_id: Uuid::from_bytes(layout.directory_id),
            seq: layout.seq.into(),
            nonce: layout.nonce,
            first: Lsn(layout.first.into()),
            oldest_live_seq: layout.oldest_live_seq.into(),
            previous_nonce: layout.previous_nonce,
            previous_end: Lsn(layout.previous_end.into()),
            created_ms: layout.created_ms.into(),
            file_bytes: layout.file_bytes.into(),
        })
    }

    /// The newest header among the copies at the front of a file. They differ only after a crash between the
    /// writes of the two.
    pub(crate) fn newest(front: &[u8]) -> Option<FileHeader> {
        front
            .chunks(BLOCK_BYTES)
            .take(COPIES)
            .filter_map(FileHeader::decode)
            .max_by_key(|header| (header.seq, header.first))
    }

    /// The seed of every checksum in this use of the file.
    pub(crate) fn seed(&self) -> u32 {
        let crc = crc32c::crc32c(self.directory_id.as_bytes());
        let crc = crc32c::crc32c_append(crc, &self.shard.0.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.seq.to_le_bytes());
        crc32c::crc32c_append(crc, &self.nonce)
    }

    /// The end of the positions that this use may give.
    pub(crate) fn end_max(&self) -> Lsn {
        self.first.plus(self.file_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FileHeader {
        FileHeader {
            shard: ShardId(0x0102),
            directory_id: Uuid::from_bytes([0xd1; 16]),
            seq: 0x1112_1314_1516_1718,
            nonce: [0xe2; 16],
            first: Lsn(0x2122_2324_2526_2728),
            oldest_live_seq: 0x3132_3334_3536_3738,
            previous_nonce: [0xf3; 16],
            previous_end: Lsn(0x4142_4344_4546_4748),
            created_ms: 0x5152_5354_5556_5758,
            file_bytes: 0x6162_6364,
        }
    }

    #[test]
    fn the_file_header_has_exactly_these_bytes() {
        let mut block = [0xff; BLOCK_BYTES];
        sample().encode(&mut block);
        let mut golden = vec![0; 4];
        golden.extend(b"FLMJ\x01\x00\x02\x01\0\0\0\0");
        golden.extend([0xd1; 16]);
        golden.extend([0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        golden.extend([0xe2; 16]);
        golden.extend([0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
        golden.extend([0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31]);
        golden.extend([0xf3; 16]);
        golden.extend([0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41]);
        golden.extend([0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51]);
        golden.extend([0x64, 0x63, 0x62, 0x61, 0, 0, 0, 0]);
        golden.extend([0; 16]);
        let crc = crc32c::crc32c(&golden[4..]);
        golden[..4].copy_from_slice(&crc.to_le_bytes());
        golden.resize(BLOCK_BYTES, 0);
        assert_eq!(block.to_vec(), golden);
        assert_eq!((crc, sample().seed()), (4_206_276_099, 4_166_172_872));
    }

    #[test]
    fn either_copy_suffices_and_the_newer_one_counts() {
        let (mut old, mut new) = (sample(), sample());
        new.seq += 8;
        old.nonce = [1; 16];
        let mut front = vec![0; COPIES * BLOCK_BYTES];
        new.encode(&mut front[..BLOCK_BYTES]);
        assert_eq!(FileHeader::newest(&front), Some(new));
        old.encode(&mut front[BLOCK_BYTES..]);
        assert_eq!(FileHeader::newest(&front), Some(new));
        front[17] ^= 1;
        assert_eq!(FileHeader::newest(&front), Some(old));
        front[BLOCK_BYTES + 127] ^= 1;
        assert_eq!(FileHeader::newest(&front), None);
        assert_eq!(FileHeader::newest(&[]), None);
    }
}
