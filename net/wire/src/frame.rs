//! The frame: 16 bytes of header and a body. Finds the frames in what a stranger sent and puts headers before what
//! is sent. Never believes a length over the limit it was given.

use crate::kind::FrameKind;
use bytes::{BufMut, BytesMut};
use flumen_model::limits::{COLD_REQUEST_BYTES_MAX, FRAME_BYTES_MAX};
use flumen_model::{Code, Error, Result};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of every frame's header.
pub const FRAME_HEADER_BYTES: usize = size_of::<FrameHeader>();
/// The version that every header of this protocol carries.
pub const FRAME_VERSION: u8 = 1;

/// The header of a frame, as it lies on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FrameHeader {
    body_bytes: U32,
    kind: U16,
    version: u8,
    flags: u8,
    correlation: U32,
    aux: U32,
}

const _: () = assert!(FRAME_HEADER_BYTES == 16, "the header is 16 bytes without a hole");

impl FrameHeader {
    /// A header of a body of so many bytes.
    ///
    /// # Panics
    /// When the body is over [`FRAME_BYTES_MAX`]: a bug of the sender, who knows the limit.
    pub fn new(kind: u16, correlation: u32, body_bytes: usize) -> FrameHeader {
        assert!(body_bytes <= FRAME_BYTES_MAX, "a body of {body_bytes} bytes is over the limit");
        FrameHeader {
            body_bytes: U32::new(body_bytes as u32),
            kind: U16::new(kind),
            version: FRAME_VERSION,
            flags: 0,
            correlation: U32::new(correlation),
            aux: U32::new(0),
        }
    }

    /// Bytes behind the header.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes.get() as usize
    }

    /// The kind's number; see [`FrameKind::of_number`](crate::FrameKind::of_number).
    pub fn kind(&self) -> u16 {
        self.kind.get()
    }

    /// The asker's number, which comes back with the reply; a push's subscription handle.
    pub fn correlation(&self) -> u32 {
        self.correlation.get()
    }

    fn check(&self, body_bytes_max: usize) -> Result<()> {
        if self.version != FRAME_VERSION {
            return Err(Error::new(
                Code::Unsupported,
                format!("frame version {} is not spoken here, only {FRAME_VERSION}", self.version),
            ));
        }
        if self.flags != 0 || self.aux.get() != 0 {
            return Err(Error::new(
                Code::InvalidRequest,
                "flags and aux of a frame header must be 0 in version 1",
            ));
        }
        if self.body_bytes() > body_bytes_max {
            return Err(Error::new(
                Code::InvalidRequest,
                format!(
                    "a frame of {} bytes is over the limit of {body_bytes_max}; send less at once",
                    self.body_bytes
                ),
            ));
        }
        Ok(())
    }
}

/// What stands at the start of received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// No whole frame yet: at least so many bytes are missing. Never more than the limit and a header.
    NeedMore(usize),
    /// A whole frame of `frame_bytes` bytes; its body begins behind [`FRAME_HEADER_BYTES`].
    Frame {
        /// Its header.
        header: FrameHeader,
        /// Header and body.
        frame_bytes: usize,
    },
}

/// Looks for a frame at the start of `bytes`. An error ends the connection: there is no way to find the next frame.
pub fn next(bytes: &[u8], body_bytes_max: usize) -> Result<Next> {
    let Ok((header, body)) = FrameHeader::read_from_prefix(bytes) else {
        return Ok(Next::NeedMore(FRAME_HEADER_BYTES - bytes.len()));
    };
    header.check(body_bytes_max)?;
    match header.body_bytes().checked_sub(body.len()) {
        Some(missing @ 1..) => Ok(Next::NeedMore(missing)),
        _ => Ok(Next::Frame { header, frame_bytes: FRAME_HEADER_BYTES + header.body_bytes() }),
    }
}

/// Like [`next`] for what a client sends: only a Produce may be as large as a batch. A server waits for no more
/// bytes than that.
pub fn next_request(bytes: &[u8]) -> Result<Next> {
    let kind = FrameHeader::ref_from_prefix(bytes).map(|(header, _)| header.kind());
    let carries_batch = kind.is_ok_and(|kind| kind == FrameKind::Produce.number());
    next(bytes, if carries_batch { FRAME_BYTES_MAX } else { COLD_REQUEST_BYTES_MAX })
}

/// Writes a frame behind `out`, its body by `put`. An error, and nothing written, when the body is over the limit.
pub(crate) fn write(
    kind: u16,
    correlation: u32,
    out: &mut BytesMut,
    put: impl FnOnce(&mut BytesMut),
) -> Result<()> {
    let start = out.len();
    out.put_bytes(0, FRAME_HEADER_BYTES);
    put(out);
    let body_bytes = out.len() - start - FRAME_HEADER_BYTES;
    if body_bytes > FRAME_BYTES_MAX {
        out.truncate(start);
        return Err(Error::new(
            Code::LimitReached,
            format!(
                "the frame would have {body_bytes} bytes, over the limit of {FRAME_BYTES_MAX}; ask for less at once"
            ),
        ));
    }
    let header = FrameHeader::new(kind, correlation, body_bytes);
    out[start..start + FRAME_HEADER_BYTES].copy_from_slice(header.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: usize) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(19, 7, &mut out, |out| out.put_bytes(1, body)).unwrap();
        out.to_vec()
    }

    #[test]
    fn a_frame_is_found_when_its_last_byte_is_there() {
        let bytes = frame(5);
        for have in 0..bytes.len() {
            let Next::NeedMore(missing) = next(&bytes[..have], 5).unwrap() else { panic!("at {have}") };
            let whole_header = have >= FRAME_HEADER_BYTES;
            assert_eq!(missing, if whole_header { 21 - have } else { 16 - have });
        }
        let found = next(&[bytes, vec![9; 30]].concat(), 5).unwrap();
        assert!(
            matches!(found, Next::Frame { header, frame_bytes: 21 } if header.correlation() == 7 && header.kind() == 19)
        );
    }

    #[test]
    fn a_length_over_the_limit_is_refused_at_the_header() {
        assert_eq!(next(&frame(6)[..16], 5).unwrap_err().code, Code::InvalidRequest);
        assert!(next(&frame(5)[..16], 5).is_ok());
        let mut huge = frame(0);
        huge[..4].fill(0xff);
        assert_eq!(next(&huge, FRAME_BYTES_MAX).unwrap_err().code, Code::InvalidRequest);
    }

    #[test]
    fn only_a_produce_may_be_as_large_as_a_batch() {
        let header = |kind: u16, body| FrameHeader::new(kind, 1, body).as_bytes().to_vec();
        assert_eq!(next_request(&header(3, FRAME_BYTES_MAX)), Ok(Next::NeedMore(FRAME_BYTES_MAX)));
        for kind in [1, 2, 4, 13, 99, 0x8003] {
            assert!(next_request(&header(kind, COLD_REQUEST_BYTES_MAX)).is_ok());
            assert!(next_request(&header(kind, COLD_REQUEST_BYTES_MAX + 1)).is_err(), "{kind}");
        }
        assert_eq!(next_request(&[]), Ok(Next::NeedMore(16)));
    }

    #[test]
    fn another_version_or_a_reserved_bit_is_refused() {
        for (at, code) in [(6, Code::Unsupported), (7, Code::InvalidRequest), (12, Code::InvalidRequest)] {
            let mut bytes = frame(0);
            bytes[at] ^= 4;
            assert_eq!(next(&bytes, 5).unwrap_err().code, code);
        }
    }

    #[test]
    fn a_body_over_the_limit_is_not_written() {
        let mut out = BytesMut::from(&b"before"[..]);
        let error = write(1, 1, &mut out, |out| out.put_bytes(0, FRAME_BYTES_MAX + 1)).unwrap_err();
        assert_eq!((error.code, &out[..]), (Code::LimitReached, &b"before"[..]));
        write(1, 1, &mut out, |out| out.put_bytes(0, FRAME_BYTES_MAX)).unwrap();
    }
}
