//! Flat little-endian bytes: a bounded reader and the few writers that commands and snapshots of the state machines
//! share. It never trusts a length: nothing is allocated and nothing is skipped before the bytes are seen to be there.

use bytes::{BufMut, BytesMut};
use flumen_model::{Code, Error, Result, TopicId};
use uuid::Uuid;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the reader reads, for its error messages and for the code of a malformed input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The name of the whole, for people: "metadata snapshot".
    pub(crate) what: &'static str,
    /// [`Code::Corrupt`] for what this node stored, [`Code::InvalidRequest`] for a command.
    pub(crate) malformed: Code,
}

/// Reads flat bytes from the front; every step is checked against what is left.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    reading: Reading,
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], reading: Reading) -> Reader<'a> {
        Reader { rest: bytes, reading }
    }

    /// An error that names the whole and says what is wrong in it.
    pub(crate) fn malformed(&self, why: &str) -> Error {
        Error::new(self.reading.malformed, format!("the {} is malformed: {why}", self.reading.what))
    }

    /// The next `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| self.malformed("it ends too early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next fixed part.
    pub(crate) fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned>(&mut self) -> Result<&'a T> {
        let bytes = self.bytes(size_of::<T>())?;
        Ok(T::ref_from_bytes(bytes).expect("an unaligned view of exactly its own size"))
    }

    /// The next `u16`.
    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(self.fixed::<zerocopy::little_endian::U16>()?.get())
    }

    /// The next `u32`.
    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(self.fixed::<zerocopy::little_endian::U32>()?.get())
    }

    /// The next `u64`.
    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(self.fixed::<zerocopy::little_endian::U64>()?.get())
    }

    /// The next `i64`.
    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(self.fixed::<zerocopy::little_endian::I64>()?.get())
    }

    /// The next topic id: 16 bytes as they stand in its text.
    pub(crate) fn topic_id(&mut self) -> Result<TopicId> {
        Ok(TopicId(self.uuid()?))
    }

    /// The next UUID: 16 bytes as they stand in its text.
    pub(crate) fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_bytes(*self.fixed::<[u8; 16]>()?))
    }

    /// The next part, by a decoder that tells how much it took of what is left.
    pub(crate) fn part<T>(&mut self, decode: impl FnOnce(&'a [u8]) -> Result<(T, usize)>) -> Result<T> {
        let (part, len) = decode(self.rest)?;
        self.bytes(len)?;
        Ok(part)
    }

    /// A command's head: its kind and version.
    pub(crate) fn head(&mut self) -> Result<(u16, u16)> {
        Ok((self.u16()?, self.u16()?))
    }

    /// The error for a kind or version that this release does not have.
    pub(crate) fn unsupported(&self, kind: u16, version: u16) -> Error {
        let what = self.reading.what;
        let message =
            format!("this release has no {what} of kind {kind}, version {version}: run a newer one");
        Error::new(Code::Unsupported, message)
    }

    /// A count of items that take at least `item_bytes` each; refused when so many cannot follow. So a vector
    /// reserved by it is never larger than the input.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        match count.checked_mul(item_bytes) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(self.malformed("a count promises more than follows")),
        }
    }

    /// A string: `u32` length and UTF-8.
    pub(crate) fn string(&mut self) -> Result<&'a str> {
        let len = self.u32()? as usize;
        let bytes = self.bytes(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a string is not UTF-8"))
    }

    /// The whole was read: bytes that nobody understands are an error, not an extension.
    pub(crate) fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("bytes follow its end")) }
    }
}

/// Appends a command's head: its kind and version.
pub(crate) fn put_head(out: &mut BytesMut, kind: u16, version: u16) {
    out.put_u16_le(kind);
    out.put_u16_le(version);
}

/// Appends a string: `u32` length and UTF-8.
pub(crate) fn put_string(out: &mut BytesMut, string: &str) {
    put_count(out, string.len());
    out.extend_from_slice(string.as_bytes());
}

/// Appends a count or length as `u32`.
pub(crate) fn put_count(out: &mut BytesMut, count: usize) {
    let count = u32::try_from(count).expect("limits keep every count and length below 4 GiB");
    out.put_u32_le(count);
}

/// Appends a fixed part.
pub(crate) fn put_fixed<T: IntoBytes + Immutable>(out: &mut BytesMut, fixed: &T) {
    out.extend_from_slice(fixed.as_bytes());
}
