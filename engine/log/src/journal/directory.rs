//! The directory that ends every write: whose frames the write holds. It is read only when the write is
//! damaged, to say who lost what. Pure: frames in, bytes out and back.

use bytes::BufMut;
use flumen_model::GroupId;

use super::frame::{self, Frame, FrameKind};

/// Bytes before the rows: row count and frame count.
const HEAD_BYTES: usize = 8;
/// Bytes of one row.
const ROW_BYTES: usize = 40;

/// What one group has in one write: a row of the write's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The group.
    pub group: GroupId,
    /// The lowest Raft index among its entries; 0 when it has no entries in the write.
    pub first_index: u64,
    /// The highest Raft index among its entries; 0 when it has no entries in the write.
    pub last_index: u64,
    /// A bitmap of the kinds of its frames, by [`FrameKind::bit`].
    pub kinds: u32,
    /// Where its first frame is, in bytes from the start of the write.
    pub position: u32,
    /// How many frames it has.
    pub frames: u32,
}

/// The bytes of a directory's frame with this many rows.
pub(crate) const fn frame_bytes(rows: usize) -> usize {
    frame::frame_bytes(HEAD_BYTES + rows * ROW_BYTES)
}

/// The payload's length with this many rows.
pub(crate) const fn payload_bytes(rows: usize) -> usize {
    HEAD_BYTES + rows * ROW_BYTES
}

/// Fills `rows` with one row per group, by group. Marks have no owner.
pub(crate) fn of_frames(frames: &[Frame], rows: &mut Vec<Owner>) {
    rows.clear();
    let mut position = 0;
    for frame in frames {
        if frame.kind != FrameKind::Mark {
            match rows.last_mut().filter(|row| row.group == frame.group) {
                Some(row) => join(row, &row_of(frame, position)),
                None => rows.push(row_of(frame, position)),
            }
        }
        position += frame::frame_bytes(frame.payload.len()) as u32;
    }
    rows.sort_unstable_by_key(|row| (row.group, row.position));
    rows.dedup_by(|later, row| {
        let same = later.group == row.group;
        if same {
            join(row, later);
        }
        same
    });
}

fn row_of(frame: &Frame, position: u32) -> Owner {
    let index = if frame.kind.is_entry() { frame.index } else { 0 };
    Owner {
        group: frame.group,
        first_index: index,
        last_index: index,
        kinds: frame.kind.bit(),
        position,
        frames: 1,
    }
}

fn join(row: &mut Owner, later: &Owner) {
    row.kinds |= later.kinds;
    row.frames += later.frames;
    if later.last_index != 0 {
        row.first_index =
            if row.first_index == 0 { later.first_index } else { row.first_index.min(later.first_index) };
        row.last_index = row.last_index.max(later.last_index);
    }
}

/// Encodes the payload into its place.
pub(crate) fn encode(mut out: &mut [u8], rows: &[Owner], frames: usize) {
    out.put_u32_le(rows.len() as u32);
    out.put_u32_le(frames as u32);
    for row in rows {
        out.put_u64_le(row.group.0);
        out.put_u64_le(row.first_index);
        out.put_u64_le(row.last_index);
        out.put_u32_le(row.kinds);
        out.put_u32_le(row.position);
        out.put_u32_le(row.frames);
        out.put_u32_le(0);
    }
}

/// Decodes a payload whose checksum was right: the rows and the number of frames before the directory.
pub(crate) fn decode(payload: &[u8]) -> Option<(Vec<Owner>, u32)> {
    let (head, rows) = payload.split_at_checked(HEAD_BYTES)?;
    if rows.len() != (u32_at(head, 0) as usize).checked_mul(ROW_BYTES)? {
        return None;
    }
    let rows = rows.chunks_exact(ROW_BYTES).map(|row| Owner {
        group: GroupId(u64_at(row, 0)),
        first_index: u64_at(row, 8),
        last_index: u64_at(row, 16),
        kinds: u32_at(row, 24),
        position: u32_at(row, 28),
        frames: u32_at(row, 32),
    });
    Some((rows.collect(), u32_at(head, 4)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frame(kind: FrameKind, group: u64, index: u64, payload: usize) -> Frame {
        Frame {
            kind,
            group: GroupId(group),
            index,
            term: 1,
            base_offset: 0,
            last_offset_delta: 0,
            payload: Bytes::from(vec![7; payload]),
        }
    }

    #[test]
    fn a_directory_names_each_group_once_with_its_range_and_first_place() {
        let frames = [
            frame(FrameKind::Batch, 20, 5, 9),
            frame(FrameKind::HardState, 17, 900, 0),
            frame(FrameKind::Batch, 20, 6, 1),
            frame(FrameKind::Mark, 0, 0, 0),
            frame(FrameKind::Noop, 17, 3, 0),
        ];
        let mut rows = Vec::new();
        of_frames(&frames, &mut rows);
        let kinds = |kinds: &[FrameKind]| kinds.iter().map(|kind| kind.bit()).sum::<u32>();
        let expected = [
            Owner {
                group: GroupId(17),
                first_index: 3,
                last_index: 3,
                kinds: kinds(&[FrameKind::HardState, FrameKind::Noop]),
                position: 80,
                frames: 2,
            },
            Owner {
                group: GroupId(20),
                first_index: 5,
                last_index: 6,
                kinds: kinds(&[FrameKind::Batch]),
                position: 0,
                frames: 2,
            },
        ];
        assert_eq!(rows, expected);
        let mut payload = vec![0; payload_bytes(2)];
        encode(&mut payload, &rows, frames.len());
        assert_eq!(decode(&payload), Some((rows, 5)));
        assert_eq!(decode(&payload[..payload.len() - 1]), None);
        assert_eq!(decode(&[0xff; 8]), None, "a row count is believed only when the rows are there");
    }
}
