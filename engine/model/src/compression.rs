//! Kafka's four codecs, as its clients write them, each bounded on the way back: no length field of a stranger
//! decides how much is allocated. Compiled in with the feature `compression`; a broker that never opens a batch
//! needs none of it.

use crate::batch::Compression;
use crate::error::{Code, Error, Result};
use bytes::BytesMut;

#[cfg(feature = "compression")]
mod codecs;

#[cfg(not(feature = "compression"))]
mod codecs {
    use super::{BytesMut, Compression, Result, check_available};

    pub(super) fn compress(_: Compression, _: &[u8], _: &mut BytesMut) {
        unreachable!("a builder refuses codecs that this build does not have");
    }

    pub(super) fn decompress(codec: Compression, _: &[u8], _: &mut Vec<u8>, _: usize) -> Result<()> {
        check_available(codec)
    }
}

/// `Unsupported` when this build cannot read and write the codec.
pub(crate) fn check_available(codec: Compression) -> Result<()> {
    if codec == Compression::None || cfg!(feature = "compression") {
        return Ok(());
    }
    Err(Error::new(
        Code::Unsupported,
        format!("this program was built without compression and cannot handle {} batches", codec.name()),
    ))
}

/// Writes `plain` compressed behind `out`. The codec must be available and not none.
pub(crate) fn compress(codec: Compression, plain: &[u8], out: &mut BytesMut) {
    codecs::compress(codec, plain, out);
}

/// Writes `packed` uncompressed behind `out`, at most `bytes_max` bytes. The codec must not be none.
pub(crate) fn decompress(
    codec: Compression,
    packed: &[u8],
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<()> {
    codecs::decompress(codec, packed, out, bytes_max)
}
