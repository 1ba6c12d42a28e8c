//! What came from a server and is not read yet. Frames are cut out of it without a copy; a length field never
//! decides how much memory is taken.

use bytes::{Buf, Bytes, BytesMut};
use flumen_model::Result;
use flumen_model::limits::FRAME_BYTES_MAX;
use flumen_wire::{FRAME_HEADER_BYTES, FrameHeader, Next, frame};

/// Memory is taken in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;
/// A read into less room than this is not worth its call.
const ROOM_BYTES_MIN: usize = 4 * 1024;
/// For a large frame, so many times what has come is taken at once.
const GROWTH: usize = 4;

/// A receive buffer.
#[derive(Debug, Default)]
pub(crate) struct Receive {
    /// What came, and behind it room that is zeroed once, so that a plain read may write into it.
    buf: BytesMut,
    filled: usize,
    /// Bytes that the first frame still lacks.
    missing: usize,
}

impl Receive {
    /// Room for the next read; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let earned = self.filled.saturating_mul(GROWTH).max(ROOM_BYTES_MIN);
        let wanted = self.missing.clamp(ROOM_BYTES_MIN, earned);
        if self.buf.len() - self.filled < wanted {
            self.buf.resize(self.filled + wanted.max(PIECE_BYTES), 0);
        }
        &mut self.buf[self.filled..]
    }

    /// So many bytes were read into the room.
    ///
    /// # Panics
    /// When that is more than the room.
    pub(crate) fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.buf.len() - self.filled, "a read stays within its room");
        self.filled += bytes;
    }

    /// Cuts out the first whole frame: its header and body. An error ends the connection.
    pub(crate) fn next_frame(&mut self) -> Result<Option<(FrameHeader, Bytes)>> {
        match frame::next(&self.buf[..self.filled], FRAME_BYTES_MAX)? {
            Next::NeedMore(missing) => {
                self.missing = missing;
                Ok(None)
            }
            Next::Frame { header, frame_bytes } => {
                let mut frame = self.buf.split_to(frame_bytes);
                self.filled -= frame_bytes;
                frame.advance(FRAME_HEADER_BYTES);
                Ok(Some((header, frame.freeze())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumen_wire::{PingRequest, encode_request};

    fn give(receive: &mut Receive, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = receive.room();
            let take = room.len().min(bytes.len());
            room[..take].copy_from_slice(&bytes[..take]);
            receive.filled(take);
            bytes = &bytes[take..];
        }
    }

    #[test]
    fn frames_come_out_whole_however_they_came_in() {
        let mut bytes = BytesMut::new();
        for correlation in 0..3000 {
            encode_request(correlation, &PingRequest {}, &mut bytes).unwrap();
        }
        for step in [1, 7, 16, 40, 5000] {
            let mut receive = Receive::default();
            let mut found = 0;
            for piece in bytes.chunks(step) {
                give(&mut receive, piece);
                while let Some((header, body)) = receive.next_frame().unwrap() {
                    assert_eq!((header.correlation(), body.len()), (found, 0));
                    found += 1;
                }
            }
            assert_eq!(found, 3000);
        }
    }

    #[test]
    fn a_length_field_takes_only_a_few_times_what_came() {
        let mut receive = Receive::default();
        let header = [&(FRAME_BYTES_MAX as u32).to_le_bytes()[..], &[4, 0x80, 1, 0], &[0; 8]].concat();
        give(&mut receive, &header);
        assert_eq!(receive.next_frame().unwrap(), None);
        assert!(receive.room().len() <= 2 * PIECE_BYTES);
        give(&mut receive, &vec![0; PIECE_BYTES]);
        assert_eq!(receive.next_frame().unwrap(), None);
        assert!(receive.room().len() <= (GROWTH + 1) * PIECE_BYTES);
    }

    #[test]
    fn a_frame_over_the_limit_ends_the_connection() {
        let mut receive = Receive::default();
        give(&mut receive, &[0xff; 16]);
        assert!(receive.next_frame().is_err());
    }
}
