//! The first bytes of a connection: the preface, which no other protocol begins with, and the Hello behind it.
//! Bounded more tightly than all that follows, since nothing is known of the peer yet.

use crate::frame::{self, FRAME_HEADER_BYTES, Next};
use crate::hello::HelloRequest;
use crate::kind::FrameKind;
use crate::message::{Body, encode_request};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::limits::HELLO_BYTES_MAX;
use flumen_model::{Code, Error, Result};

/// The first eight bytes from a client: the name, a zero, and the preface's version.
pub const PREFACE: [u8; 8] = *b"FLUMEN\x00\x01";

/// What stands at the start of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// At least so many bytes are missing.
    NeedMore(usize),
    /// A client's Hello. What comes behind its `bytes` bytes are ordinary frames.
    Hello {
        /// The correlation of the Hello frame, for the reply.
        correlation: u32,
        /// What it says.
        hello: HelloRequest,
        /// Bytes of preface and Hello frame.
        bytes: usize,
    },
}

/// Reads the first bytes from a client. `InvalidRequest` at the first byte that cannot be right.
pub fn read_opening(bytes: &[u8]) -> Result<Opening> {
    let Some(frames) = bytes.strip_prefix(&PREFACE) else {
        return match PREFACE.strip_prefix(bytes) {
            Some(missing) => Ok(Opening::NeedMore(missing.len() + FRAME_HEADER_BYTES)),
            None => Err(invalid("this is no Flumen client; the port speaks Flumen's native protocol")),
        };
    };
    let (header, frame_bytes) = match frame::next(frames, HELLO_BYTES_MAX)? {
        Next::NeedMore(missing) => return Ok(Opening::NeedMore(missing)),
        Next::Frame { header, frame_bytes } => (header, frame_bytes),
    };
    if header.kind() != FrameKind::Hello.number() {
        return Err(invalid("the first frame must be a Hello"));
    }
    let body = Bytes::copy_from_slice(&frames[FRAME_HEADER_BYTES..frame_bytes]);
    let hello = HelloRequest::get(&body)?;
    Ok(Opening::Hello { correlation: header.correlation(), hello, bytes: PREFACE.len() + frame_bytes })
}

/// Writes preface and Hello behind `out`.
pub fn encode_opening(correlation: u32, hello: &HelloRequest, out: &mut BytesMut) -> Result<()> {
    out.put_slice(&PREFACE);
    encode_request(correlation, hello, out)
}

#[cold]
fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumen_model::ShardId;

    fn opening() -> (HelloRequest, BytesMut) {
        let hello = HelloRequest::new("test", Some(ShardId(1)));
        let mut bytes = BytesMut::new();
        encode_opening(5, &hello, &mut bytes).unwrap();
        (hello, bytes)
    }

    #[test]
    fn the_hello_is_read_when_all_of_it_is_there() {
        let (hello, bytes) = opening();
        for have in 0..bytes.len() {
            let Opening::NeedMore(missing) = read_opening(&bytes[..have]).unwrap() else {
                panic!("at {have}")
            };
            assert!(missing > 0 && have + missing <= bytes.len(), "never asks for more than there will be");
        }
        let read = read_opening(&[&bytes[..], b"more"].concat()).unwrap();
        assert_eq!(read, Opening::Hello { correlation: 5, hello, bytes: bytes.len() });
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        assert!(read_opening(b"G").is_err());
        assert!(read_opening(b"FLUMEN\x00\x02").is_err());
    }

    #[test]
    fn a_stranger_gets_little_memory_and_only_a_hello() {
        let (_, mut bytes) = opening();
        bytes[8..12].copy_from_slice(&(HELLO_BYTES_MAX as u32 + 1).to_le_bytes());
        assert!(read_opening(&bytes).is_err());
        let (_, mut bytes) = opening();
        bytes[12] = 2;
        assert!(read_opening(&bytes).unwrap_err().message.contains("Hello"));
    }

    #[test]
    fn versions_that_do_not_meet_are_refused() {
        let (hello, _) = opening();
        assert_eq!(hello.negotiate(), Ok((1, 0)));
        assert_eq!(
            HelloRequest { version_max: 9, features: u64::MAX, ..hello.clone() }.negotiate(),
            Ok((1, 0))
        );
        for (version_min, version_max) in [(2, 9), (0, 0), (1, 0)] {
            let error = HelloRequest { version_min, version_max, ..hello.clone() }.negotiate().unwrap_err();
            assert_eq!(error.code, Code::Unsupported);
        }
        let long = HelloRequest { client_id: "x".repeat(256), ..hello };
        assert_eq!(long.negotiate().unwrap_err().code, Code::InvalidRequest);
    }
}
