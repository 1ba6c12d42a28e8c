//! A frame: 64 bytes of header and a payload, the unit that the journal stores and gives back. Pure: bytes in,
//! bytes out. A header is believed only when its checksum, its place and its kind are right.

use bytes::Bytes;
use flumen_model::{GroupId, Lsn};
use rkyv::rancor::Failure;
use rkyv::ser::writer::Buffer;

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Frames begin at multiples of this.
pub(crate) const FRAME_ALIGN: usize = 8;
/// "LF" in the file.
const MAGIC: u16 = u16::from_le_bytes(*b"LF");
/// The only frame layout so far.
const VERSION: u8 = 1;
/// Where the position stands in a header.
const LSN_AT: usize = 8;

/// What a frame is. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FrameKind {
    /// A Raft entry with a record batch; base offset and last offset delta are the client's.
    Batch = 1,
    /// A Raft entry with a command of a state machine.
    Command = 2,
    /// A Raft entry that changes the configuration.
    Conf = 3,
    /// An empty Raft entry.
    Noop = 4,
    /// A group's term, vote (in `base_offset`) and commit (in `index`).
    HardState = 5,
    /// Where a group's log begins: its birth or a snapshot; the payload is the configuration.
    Point = 6,
    /// The last or only part of a group's checkpoint.
    Checkpoint = 7,
    /// A part of a group's checkpoint before the last.
    CheckpointPart = 8,
    /// The directory at the end of every write. The journal's own.
    Directory = 9,
    /// Evidence that what was written before is durable. The journal's own.
    Mark = 10,
    /// Reserved.
    Truncate = 11,
    /// Reserved.
    Reference = 12,
}

impl FrameKind {
    const ALL: [FrameKind; 12] = [
        FrameKind::Batch,
        FrameKind::Command,
        FrameKind::Conf,
        FrameKind::Noop,
        FrameKind::HardState,
        FrameKind::Point,
        FrameKind::Checkpoint,
        FrameKind::CheckpointPart,
        FrameKind::Directory,
        FrameKind::Mark,
        FrameKind::Truncate,
        FrameKind::Reference,
    ];

    fn from_number(number: u8) -> Option<FrameKind> {
        FrameKind::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// A Raft entry, whose index counts in a directory's index range.
    pub fn is_entry(self) -> bool {
        self <= FrameKind::Noop
    }

    /// This kind's bit in a bitmap of kinds.
    pub fn bit(self) -> u32 {
        1 << (self as u8)
    }

    /// Whether callers may append it.
    pub(crate) fn is_callers(self) -> bool {
        self <= FrameKind::CheckpointPart
    }
}

/// A frame as it is appended and as it is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Whose it is.
    pub group: GroupId,
    /// Raft index, or what the kind says.
    pub index: u64,
    /// Raft term.
    pub term: u32,
    /// The client's base offset, or what the kind says.
    pub base_offset: u64,
    /// The client's last offset delta, or what the kind says.
    pub last_offset_delta: u32,
    /// The payload; copied once, into the write.
    pub payload: Bytes,
}

/// The bytes that a frame with a payload of `payload_len` takes in a write.
pub const fn frame_bytes(payload_len: usize) -> usize {
    HEADER_BYTES + payload_len.next_multiple_of(FRAME_ALIGN)
}

/// The header as it lies on disk: flat, little-endian, no padding. Field order is the format.
#[derive(rkyv::Archive, rkyv::Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// CRC-32C of bytes 4..64, seeded.
    crc_header: u32,
    magic: u16,
    version: u8,
    kind: u8,
    /// Position of this header; must equal the file's first position plus the place in the file.
    pub(crate) lsn: u64,
    /// Distance back to the start of the write, which is also what was durable when the write was built.
    pub(crate) durable_back: u32,
    /// Distance ahead to the end of the write.
    pub(crate) group_end_ahead: u32,
    pub(crate) payload_len: u32,
    /// CRC-32C of the whole payload, seeded.
    crc_payload: u32,
    pub(crate) group: u64,
    pub(crate) index: u64,
    pub(crate) term: u32,
    pub(crate) last_offset_delta: u32,
    pub(crate) base_offset: u64,
}

const _: () = assert!(size_of::<ArchivedHeader>() == HEADER_BYTES, "the header is flat and has no padding");

/// Where a frame stands in its write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    /// Position of the write.
    pub(crate) write_start: Lsn,
    /// Length of the whole write, padding included.
    pub(crate) write_bytes: u32,
    /// The frame's distance from the start of the write.
    pub(crate) at: u32,
}

/// Encodes a frame's header; `payload` is already in its place behind it.
pub(crate) fn encode_header(
    out: &mut [u8; HEADER_BYTES],
    frame: &Frame,
    payload: &[u8],
    place: Placement,
    seed: u32,
) {
    let header = Header {
        crc_header: 0,
        magic: MAGIC,
        version: VERSION,
        kind: frame.kind as u8,
        lsn: place.write_start.0 + u64::from(place.at),
        durable_back: place.at,
        group_end_ahead: place.write_bytes - place.at,
        payload_len: payload.len() as u32,
        crc_payload: crc32c::crc32c_append(seed, payload),
        group: frame.group.0,
        index: frame.index,
        term: frame.term,
        last_offset_delta: frame.last_offset_delta,
        base_offset: frame.base_offset,
    };
    let mut writer = Buffer::from(&mut *out);
    rkyv::api::serialize_using::<_, Failure>(&header, &mut writer).expect("64 bytes hold a 64-byte header");
    let crc = crc32c::crc32c_append(seed, &out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Whether a frame's header could begin here: the position alone, which old and foreign bytes do not have.
#[inline]
pub(crate) fn may_begin(bytes: &[u8], lsn: Lsn) -> bool {
    bytes.get(LSN_AT..LSN_AT + 8).is_some_and(|field| field == lsn.0.to_le_bytes())
}

/// Decodes the header at `lsn`, or `None` when none is there that this file's use wrote.
pub(crate) fn decode_header(bytes: &[u8], lsn: Lsn, seed: u32) -> Option<Header> {
    if !may_begin(bytes, lsn) {
        return None;
    }
    let header = plain_header(bytes)?;
    let crc = crc32c::crc32c_append(seed, &bytes[4..HEADER_BYTES]);
    let within = header.durable_back as u64 <= lsn.0 && header.group_end_ahead as usize >= HEADER_BYTES;
    (crc == header.crc_header && within).then_some(header)
}

/// Where a write claims to begin, going by the plain fields: all that is left to see when the file's header, and
/// with it the seed, is lost.
pub(crate) fn claimed_write_start(bytes: &[u8]) -> Option<Lsn> {
    plain_header(bytes).filter(|header| header.durable_back == 0).map(|header| Lsn(header.lsn))
}

fn plain_header(bytes: &[u8]) -> Option<Header> {
    let archived = rkyv::access::<ArchivedHeader, Failure>(bytes.get(..HEADER_BYTES)?).ok()?;
    let header = Header {
        crc_header: archived.crc_header.into(),
        magic: archived.magic.into(),
        version: archived.version,
        kind: archived.kind,
        lsn: archived.lsn.into(),
        durable_back: archived.durable_back.into(),
        group_end_ahead: archived.group_end_ahead.into(),
        payload_len: archived.payload_len.into(),
        crc_payload: archived.crc_payload.into(),
        group: archived.group.into(),
        index: archived.index.into(),
        term: archived.term.into(),
        last_offset_delta: archived.last_offset_delta.into(),
        base_offset: archived.base_offset.into(),
    };
    let known =
        header.magic == MAGIC && header.version == VERSION && FrameKind::from_number(header.kind).is_some();
    known.then_some(header)
}

impl Header {
    /// What the frame is.
    pub(crate) fn kind(&self) -> FrameKind {
        FrameKind::from_number(self.kind).expect("decoding refuses unknown kinds")
    }

    /// Where the write begins that the frame is part of.
    pub(crate) fn write_start(&self) -> Lsn {
        Lsn(self.lsn - u64::from(self.durable_back))
    }

    /// Where the write ends that the frame is part of.
    pub(crate) fn write_end(&self) -> Lsn {
        Lsn(self.lsn + u64::from(self.group_end_ahead))
    }

    /// Header, payload and padding to the next frame.
    pub(crate) fn total_bytes(&self) -> usize {
        frame_bytes(self.payload_len as usize)
    }

    /// Whether this payload is the frame's.
    pub(crate) fn owns(&self, payload: &[u8], seed: u32) -> bool {
        payload.len() == self.payload_len as usize && crc32c::crc32c_append(seed, payload) == self.crc_payload
    }

    /// The frame, with its payload.
    pub(crate) fn into_frame(self, payload: Bytes) -> Frame {
        Frame {
            kind: self.kind(),
            group: GroupId(self.group),
            index: self.index,
            term: self.term,
            base_offset: self.base_offset,
            last_offset_delta: self.last_offset_delta,
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Frame {
        Frame {
            kind: FrameKind::Batch,
            group: GroupId(0x1112_1314_1516_1718),
            index: 0x2122_2324_2526_2728,
            term: 0x3132_3334,
            base_offset: 0x4142_4344_4546_4748,
            last_offset_delta: 0x5152_5354,
            payload: Bytes::from_static(b"payload"),
        }
    }

    const PLACE: Placement =
        Placement { write_start: Lsn(0x0102_0304_0506_0000), write_bytes: 8192, at: 128 };

    #[test]
    fn the_header_has_exactly_these_bytes() {
        let mut out = [0; HEADER_BYTES];
        encode_header(&mut out, &sample(), b"payload", PLACE, 0x5eed);
        let golden: [u8; HEADER_BYTES] = [
            0, 0, 0, 0, // CRC of the header, checked below
            b'L', b'F', 1, 1, // magic, version, kind
            0x80, 0x00, 6, 5, 4, 3, 2, 1, // position
            0x80, 0, 0, 0, // distance back to the start of the write
            0x80, 0x1f, 0, 0, // distance ahead to its end
            7, 0, 0, 0, // payload length
            0, 0, 0, 0, // CRC of the payload, checked below
            0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, // group
            0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, // index
            0x34, 0x33, 0x32, 0x31, // term
            0x54, 0x53, 0x52, 0x51, // last offset delta
            0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, // base offset
        ];
        let (mut expected, payload_crc) = (golden, crc32c::crc32c_append(0x5eed, b"payload"));
        expected[28..32].copy_from_slice(&payload_crc.to_le_bytes());
        let header_crc = crc32c::crc32c_append(0x5eed, &expected[4..]);
        expected[..4].copy_from_slice(&header_crc.to_le_bytes());
        assert_eq!(out, expected);
        assert_eq!((payload_crc, header_crc), (GOLDEN_PAYLOAD_CRC, GOLDEN_HEADER_CRC));
    }

    const GOLDEN_PAYLOAD_CRC: u32 = 47_715_191;
    const GOLDEN_HEADER_CRC: u32 = 2_044_555_514;

    #[test]
    fn a_header_is_believed_only_at_its_place_with_its_seed_and_unharmed() {
        let mut out = [0; HEADER_BYTES];
        encode_header(&mut out, &sample(), b"payload", PLACE, 7);
        let lsn = PLACE.write_start.plus(128);
        let header = decode_header(&out, lsn, 7).expect("what was encoded is decoded");
        assert!(header.owns(b"payload", 7) && !header.owns(b"paYload", 7) && !header.owns(b"payload", 8));
        assert_eq!(header.into_frame(Bytes::from_static(b"payload")), sample());
        assert_eq!(
            (header.write_start(), header.write_end()),
            (PLACE.write_start, PLACE.write_start.plus(8192))
        );
        assert_eq!(decode_header(&out, lsn, 8), None, "another use of the file");
        assert_eq!(decode_header(&out, lsn.plus(8), 7), None, "another place");
        assert_eq!(decode_header(&out[..63], lsn, 7), None, "too short");
        for bit in 0..HEADER_BYTES * 8 {
            out[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_header(&out, lsn, 7), None, "bit {bit} flipped");
            out[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn every_kind_comes_back_from_its_number() {
        for kind in FrameKind::ALL {
            assert_eq!(FrameKind::from_number(kind as u8), Some(kind));
        }
        assert_eq!((FrameKind::from_number(0), FrameKind::from_number(13)), (None, None));
    }
}
