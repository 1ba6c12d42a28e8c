//! The envelope of replies: a code first, then what was asked for, or a sentence that says what is wrong. A reply
//! that cannot be sent becomes an error that can.

use crate::fields::{Field, Reader, malformed};
use crate::frame;
use crate::kind::FrameKind;
use crate::message::{Body, Request};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::limits::ERROR_MESSAGE_BYTES_MAX;
use flumen_model::{Code, Error, Kind, Result};

/// Bytes of a reply's code.
pub(crate) const CODE_BYTES: usize = size_of::<u16>();
const OK: u16 = 0;

/// What an unknown code of each kind is taken for, so that an old client still does the right thing; the number on
/// the wire is the place, from 1.
const STAND_INS: [(Kind, Code); 6] = [
    (Kind::Retry, Code::Busy),
    (Kind::NotLeader, Code::NotLeader),
    (Kind::Invalid, Code::InvalidRequest),
    (Kind::Full, Code::LimitReached),
    (Kind::Corrupt, Code::Corrupt),
    (Kind::Closed, Code::Closed),
];

/// Writes the reply to a request behind `out`. One over the frame limit becomes an error reply that says so.
pub fn encode_reply<R: Request>(correlation: u32, reply: &R::Reply, out: &mut BytesMut) {
    let written = frame::write(R::KIND.reply_number(), correlation, out, |out| {
        out.put_u16_le(OK);
        reply.put(out);
    });
    if let Err(error) = written {
        encode_error(R::KIND, correlation, &error, out);
    }
}

/// Writes the error reply to a request of a kind behind `out`.
pub fn encode_error(kind: FrameKind, correlation: u32, error: &Error, out: &mut BytesMut) {
    frame::write(kind.reply_number(), correlation, out, |out| put_error(error, out))
        .expect("an error's message is cut to fit");
}

/// Reads the body of a reply: what was asked for, or the server's error.
pub fn decode_reply<R: Request>(body: &Bytes) -> Result<R::Reply> {
    let mut reader = Reader::new(body);
    match u16::get(&mut reader)? {
        OK => R::Reply::get(&reader.tail()),
        code => Err(get_error(code, &mut reader)?),
    }
}

/// Writes code, kind and message.
pub(crate) fn put_error(error: &Error, out: &mut BytesMut) {
    let place =
        STAND_INS.iter().position(|(kind, _)| *kind == error.kind()).expect("every kind has a stand-in");
    let message = &error.message[..error.message.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX)];
    out.put_u16_le(error.code as u16);
    out.put_u8(place as u8 + 1);
    message.to_string().put(out);
}

/// Reads kind and message behind a code.
pub(crate) fn get_error(code: u16, reader: &mut Reader<'_>) -> Result<Error> {
    let kind: u8 = reader.read()?;
    let mut message: String = reader.read()?;
    reader.finish()?;
    let (_, stand_in) = usize::from(kind)
        .checked_sub(1)
        .and_then(|place| STAND_INS.get(place))
        .ok_or_else(|| malformed(format!("error kind {kind} is none of this protocol version")))?;
    message.truncate(message.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX));
    Ok(Error { code: Code::from_number(code).unwrap_or(*stand_in), message })
}
