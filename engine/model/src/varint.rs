//! Kafka's zig-zag variable-length integers, read with bounds and written back. Never allocates, never reads
//! past what it was given.

use crate::error::{Code, Error, Result};

/// The bytes that are left of a record or payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        let (&first, rest) = self.rest.split_first().ok_or_else(short)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A 32-bit varint.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32> {
        // Lengths and deltas below 64 are one byte; nearly all are.
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return Ok(unzigzag(u64::from(first)) as i32);
        }
        let value = unzigzag(self.unsigned(5)?);
        i32::try_from(value).map_err(|_| wide())
    }

    /// A 64-bit varint.
    pub(crate) fn long(&mut self) -> Result<i64> {
        Ok(unzigzag(self.unsigned(10)?))
    }

    /// A length that must not be negative.
    pub(crate) fn len(&mut self) -> Result<usize> {
        usize::try_from(self.int()?).map_err(|_| negative())
    }

    /// Bytes behind their length; -1 is null, which is not the same as empty.
    pub(crate) fn nullable(&mut self) -> Result<Option<&'a [u8]>> {
        match self.int()? {
            -1 => Ok(None),
            len => self.take(usize::try_from(len).map_err(|_| negative())?).map(Some),
        }
    }

    fn unsigned(&mut self, bytes_max: u32) -> Result<u64> {
        let mut value = 0u64;
        for at in 0..bytes_max {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return Err(wide());
            }
            value |= bits << (7 * at);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(wide())
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// How many bytes [`put`] writes for a value.
pub(crate) fn bytes_of(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes a varint behind `out`; the 32-bit form has the same bytes.
pub(crate) fn put(out: &mut impl bytes::BufMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

#[cold]
fn short() -> Error {
    Error::new(Code::InvalidBatch, "a record ends before its own length says; send whole records")
}

#[cold]
fn wide() -> Error {
    Error::new(
        Code::InvalidBatch,
        "a variable-length integer in a record is too wide; encode it as Kafka does",
    )
}

#[cold]
fn negative() -> Error {
    Error::new(Code::InvalidBatch, "a length in a record is below -1; null is -1, empty is 0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[test]
    fn the_bytes_are_kafkas() {
        for (value, bytes) in [
            (0, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[126]),
            (-64, &[127]),
            (64, &[0x80, 1]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            assert_eq!(written(value), bytes, "{value}");
        }
    }

    #[test]
    fn a_varint_that_is_too_wide_or_cut_is_refused() {
        assert!(Reader::new(&written(i64::from(i32::MAX) + 1)).int().is_err());
        assert!(Reader::new(&[0xff; 11]).long().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).long().is_err());
        assert!(Reader::new(&[0x80]).int().is_err());
        assert!(Reader::new(&[]).int().is_err());
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value: i64) {
            let bytes = written(value);
            prop_assert_eq!(bytes.len(), bytes_of(value));
            prop_assert_eq!(Reader::new(&bytes).long(), Ok(value));
            if let Ok(small) = i32::try_from(value) {
                prop_assert_eq!(Reader::new(&bytes).int(), Ok(small));
            }
        }
    }
}
