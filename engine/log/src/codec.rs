//! Reading and writing of flat little-endian fields behind bounds checks, for the payloads that this crate
//! defines. A length is believed only when that many bytes are there; nothing is allocated before.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flumen_model::{Code, Error, Result};

/// Reads fields from the front of a payload.
pub struct Reader {
    bytes: Bytes,
    what: &'static str,
}

impl Reader {
    /// A reader of `bytes`, which are called `what` in errors.
    pub fn new(bytes: Bytes, what: &'static str) -> Reader {
        Reader { bytes, what }
    }

    fn short<T>(&self, _: bytes::TryGetError) -> Result<T> {
        Err(Error::new(Code::Corrupt, format!("{} ends too early", self.what)))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.bytes.try_get_u8().or_else(|e| self.short(e))
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        self.bytes.try_get_u16_le().or_else(|e| self.short(e))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        self.bytes.try_get_u32_le().or_else(|e| self.short(e))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        self.bytes.try_get_u64_le().or_else(|e| self.short(e))
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128> {
        self.bytes.try_get_u128_le().or_else(|e| self.short(e))
    }

    /// A u32 length and that many bytes, shared with the payload.
    pub fn bytes(&mut self) -> Result<Bytes> {
        let len = self.u32()? as usize;
        if len > self.bytes.len() {
            return Err(Error::new(
                Code::Corrupt,
                format!("{} names {len} bytes where {} are left", self.what, self.bytes.len()),
            ));
        }
        Ok(self.bytes.split_to(len))
    }

    /// A u32 count of items of at least `item_bytes_min` bytes each, refused when they cannot all be there.
    pub fn count(&mut self, item_bytes_min: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count.saturating_mul(item_bytes_min) > self.bytes.len() {
            return Err(Error::new(
                Code::Corrupt,
                format!("{} names {count} items that are not there", self.what),
            ));
        }
        Ok(count)
    }

    /// Fails when bytes are left over.
    pub fn end(self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::Corrupt, format!("{} has {} bytes too many", self.what, self.bytes.len())))
    }
}

/// Appends a u32 length and the bytes.
pub fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("payload parts stay under 4 GiB");
    out.put_u32_le(len);
    out.put_slice(bytes);
}
