//! Builds one write: frames packed at 8 bytes, the directory, zeros to the end of the block. One buffer, each
//! payload copied once. Pure.

use bytes::Bytes;
use flumen_model::copy::copy;
use flumen_model::limits::BLOCK_BYTES;
use flumen_model::{GroupId, Lsn};

use super::directory::{self, Owner};
use super::frame::{self, Frame, FrameKind, HEADER_BYTES, Placement};

/// Builds writes, one after the other, with the same scratch memory.
#[derive(Default)]
pub(crate) struct GroupBuilder {
    rows: Vec<Owner>,
    frames_bytes: usize,
}

impl GroupBuilder {
    /// Takes the measure of a write of these frames: its bytes before padding. [`GroupBuilder::fill`] must be
    /// given the same frames.
    pub(crate) fn measure(&mut self, frames: &[Frame]) -> usize {
        directory::of_frames(frames, &mut self.rows);
        self.frames_bytes = frames.iter().map(|frame| frame::frame_bytes(frame.payload.len())).sum();
        self.frames_bytes + directory::frame_bytes(self.rows.len())
    }

    /// Fills a buffer of the measured bytes, padded to whole blocks: every byte of it, whatever was in there.
    pub(crate) fn fill(&self, buf: &mut [u8], frames: &[Frame], start: Lsn, seed: u32) {
        assert!(buf.len().is_multiple_of(BLOCK_BYTES), "writes are whole blocks");
        let write_bytes =
            u32::try_from(buf.len()).expect("a write is smaller than a file, which fits 32 bits");
        let mut place = Placement { write_start: start, write_bytes, at: 0 };
        for frame in frames {
            let payload = HEADER_BYTES..HEADER_BYTES + frame.payload.len();
            let out = &mut buf[place.at as usize..];
            copy(&mut out[payload.clone()], &frame.payload);
            put_header(out, frame, payload.end, place, seed);
            let frame_bytes = frame::frame_bytes(frame.payload.len());
            out[payload.end..frame_bytes].fill(0);
            place.at += frame_bytes as u32;
        }
        debug_assert_eq!(place.at as usize, self.frames_bytes, "the measured frames");
        let out = &mut buf[place.at as usize..];
        let end = HEADER_BYTES + directory::payload_bytes(self.rows.len());
        directory::encode(&mut out[HEADER_BYTES..end], &self.rows, frames.len());
        put_header(out, &own(FrameKind::Directory), end, place, seed);
        out[end..].fill(0);
    }
}

fn put_header(out: &mut [u8], frame: &Frame, end: usize, place: Placement, seed: u32) {
    let (header, rest) = out.split_first_chunk_mut::<HEADER_BYTES>().expect("measured");
    frame::encode_header(header, frame, &rest[..end - HEADER_BYTES], place, seed);
}

/// A frame of the journal's own, of no group.
pub(crate) fn own(kind: FrameKind) -> Frame {
    Frame {
        kind,
        group: GroupId(0),
        index: 0,
        term: 0,
        base_offset: 0,
        last_offset_delta: 0,
        payload: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_what_was_in_the_buffer_before_gets_into_a_write() {
        let frames: Vec<Frame> =
            (0..12).map(|bytes| Frame { payload: vec![7; bytes].into(), ..own(FrameKind::Batch) }).collect();
        let mut builder = GroupBuilder::default();
        let bytes = builder.measure(&frames).next_multiple_of(BLOCK_BYTES);
        let (mut clean, mut stale) = (vec![0; bytes], vec![0xa5; bytes]);
        builder.fill(&mut clean, &frames, Lsn(8192), 3);
        builder.fill(&mut stale, &frames, Lsn(8192), 3);
        assert_eq!(clean, stale);
    }
}
