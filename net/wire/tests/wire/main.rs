//! What the protocol promises: bytes that never change, one form for each meaning, and no panic and no memory for
//! whatever a stranger sends.
#![forbid(unsafe_code)]
// All of it is tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod document;
mod golden;
mod properties;
mod replies;

use bytes::{Bytes, BytesMut};
use flumen_wire::{FRAME_HEADER_BYTES, FrameHeader, Next, frame};

/// The bytes of spaced hexadecimal text.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Header and body of the one frame that `bytes` are.
fn one_frame(bytes: BytesMut) -> (FrameHeader, Bytes) {
    let bytes = bytes.freeze();
    match frame::next(&bytes, flumen_model::limits::FRAME_BYTES_MAX) {
        Ok(Next::Frame { header, frame_bytes }) if frame_bytes == bytes.len() => {
            (header, bytes.slice(FRAME_HEADER_BYTES..))
        }
        other => panic!("not one frame: {other:?}"),
    }
}
