//! One entry per kind of outside bytes, for a fuzz runner. Each takes any bytes, and panics only when a promise of
//! this crate is broken.

use crate::frame::{self, FRAME_HEADER_BYTES, Next};
use crate::kind::{AnyRequest, FrameKind, KINDS, echo_reply};
use crate::message::Body;
use crate::{Opening, Push, decode_push_end, read_opening};
use bytes::{Bytes, BytesMut};
use flumen_model::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};

/// The first bytes of a connection, and any frame.
pub fn frame(data: &[u8]) {
    match read_opening(data) {
        Ok(Opening::NeedMore(missing)) => {
            assert!((1..=HELLO_BYTES_MAX + FRAME_HEADER_BYTES).contains(&missing))
        }
        Ok(Opening::Hello { bytes, .. }) => assert!(bytes <= data.len(), "the Hello is in what came"),
        Err(_) => {}
    }
    match frame::next(data, FRAME_BYTES_MAX) {
        Ok(Next::NeedMore(missing)) => assert!((1..=FRAME_BYTES_MAX).contains(&missing), "memory is bounded"),
        Ok(Next::Frame { frame_bytes, .. }) => {
            assert!(frame_bytes <= data.len(), "the frame is in what came")
        }
        Err(_) => {}
    }
}

/// A request: the first byte picks the kind, the rest is the body. What is taken has one form only.
pub fn request(data: &[u8]) {
    let Some((kind, body)) = pick(data) else { return };
    if let Ok(request) = AnyRequest::decode(kind.number(), &body) {
        let mut again = BytesMut::new();
        request.put(&mut again);
        assert_eq!(again, body, "{request:?}");
        assert_eq!(request.kind(), kind);
    }
}

/// A reply or push: the first byte picks the kind, the rest is the body.
pub fn reply(data: &[u8]) {
    let Some((kind, body)) = pick(data) else { return };
    match kind {
        FrameKind::Push => drop(Push::get(&body)),
        FrameKind::PushEnd => drop(decode_push_end(&body)),
        kind => {
            let mut again = BytesMut::new();
            if echo_reply(kind, &body, &mut again).is_ok() {
                assert_eq!(again[FRAME_HEADER_BYTES..], body, "{kind:?}");
            }
        }
    }
}

fn pick(data: &[u8]) -> Option<(FrameKind, Bytes)> {
    let (&first, body) = data.split_first()?;
    Some((KINDS[usize::from(first) % KINDS.len()].kind, Bytes::copy_from_slice(body)))
}
