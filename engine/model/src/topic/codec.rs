//! The bytes of what was set for a topic. They live in committed commands, so that every version reads them alike:
//! ranges are not checked again, and what this version does not know is refused, never skipped.
//!
//! ```text
//! u8 version (1) · u8 count · count of { u8 number, i64 value little-endian }, numbers rising
//! ```

use super::{SETTINGS, TopicSettings};
use crate::error::{Code, Error, Result};
use bytes::{BufMut, BytesMut};
use zerocopy::little_endian::I64;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

const VERSION: u8 = 1;

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Pair {
    number: u8,
    value: I64,
}

impl TopicSettings {
    /// Writes what was set behind `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_u8(self.set.iter().flatten().count() as u8);
        for (setting, set) in SETTINGS.iter().zip(self.set) {
            if let Some(value) = set {
                out.put_u8(setting.number);
                out.put_i64_le(value);
            }
        }
    }

    /// Reads what [`TopicSettings::encode`] wrote at the start of `bytes`, and tells how many bytes that was.
    /// `Unsupported` when a newer version wrote it, `InvalidRequest` when nobody did.
    pub fn decode(bytes: &[u8]) -> Result<(TopicSettings, usize)> {
        let [version, count, rest @ ..] = bytes else { return Err(damaged()) };
        if *version != VERSION {
            return Err(newer(format!("version {version}")));
        }
        let (pairs, _) =
            <[Pair]>::ref_from_prefix_with_elems(rest, usize::from(*count)).map_err(|_| damaged())?;
        if !pairs.is_sorted_by(|a, b| a.number < b.number) {
            return Err(damaged());
        }
        let mut settings = TopicSettings::default();
        for pair in pairs {
            settings.restore(pair)?;
        }
        Ok((settings, 2 + size_of_val(pairs)))
    }

    fn restore(&mut self, pair: &Pair) -> Result<()> {
        let index = SETTINGS.iter().position(|setting| setting.number == pair.number);
        let index = index.ok_or_else(|| newer(format!("setting number {}", pair.number)))?;
        if !SETTINGS[index].knows(pair.value.get()) {
            return Err(newer(format!("{}={}", SETTINGS[index].key, pair.value)));
        }
        self.set[index] = Some(pair.value.get());
        Ok(())
    }
}

fn newer(what: String) -> Error {
    Error::new(
        Code::Unsupported,
        format!("stored topic settings have an unknown {what}; run the version that wrote them"),
    )
}

fn damaged() -> Error {
    Error::new(Code::InvalidRequest, "stored topic settings are cut or out of order")
}
