//! The codecs themselves. Every decoder stops at the caller's bound; every encoder writes what Kafka's own clients
//! read.

use crate::batch::Compression;
use crate::error::{Code, Error, Result};
use bytes::{BufMut, BytesMut};
use std::io::{self, Read, Write};
use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, IntoBytes};

/// Kafka's default level.
const ZSTD_LEVEL: i32 = 3;
/// 8 MiB: the window of level 19, and more than any batch may be worth.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The Java library's framing: magic, version and oldest compatible version.
const SNAPPY_HEADER: [u8; 16] = *b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01";
/// The Java library's block: so much is compressed at a time.
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;

pub(super) fn compress(codec: Compression, plain: &[u8], out: &mut BytesMut) {
    let written = match codec {
        Compression::None => unreachable!("nothing to compress"),
        Compression::Gzip => gzip(plain, out),
        Compression::Snappy => snappy(plain, out),
        Compression::Lz4 => lz4(plain, out),
        Compression::Zstd => zstd::stream::copy_encode(plain, out.writer(), ZSTD_LEVEL),
    };
    written.expect("compressing memory into memory does not fail");
}

fn gzip(plain: &[u8], out: &mut BytesMut) -> io::Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(out.writer(), flate2::Compression::default());
    encoder.write_all(plain)?;
    encoder.finish().map(drop)
}

fn lz4(plain: &[u8], out: &mut BytesMut) -> io::Result<()> {
    // Kafka's Java reader takes only independent blocks.
    let frame = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Independent);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, out.writer());
    encoder.write_all(plain)?;
    encoder.finish().map(drop).map_err(io::Error::other)
}

fn snappy(plain: &[u8], out: &mut BytesMut) -> io::Result<()> {
    let mut encoder = snap::raw::Encoder::new();
    out.put_slice(&SNAPPY_HEADER);
    for block in plain.chunks(SNAPPY_BLOCK_BYTES) {
        let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
        out.put_slice(U32::new(packed.len() as u32).as_bytes());
        out.put_slice(&packed);
    }
    Ok(())
}

pub(super) fn decompress(
    codec: Compression,
    packed: &[u8],
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<()> {
    match codec {
        Compression::None => unreachable!("nothing to decompress"),
        Compression::Gzip => drain(codec, flate2::read::MultiGzDecoder::new(packed), out, bytes_max),
        Compression::Snappy => unsnappy(packed, out, bytes_max),
        Compression::Lz4 => drain(codec, lz4_flex::frame::FrameDecoder::new(packed), out, bytes_max),
        Compression::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(packed).map_err(|e| broken(codec, e))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|e| broken(codec, e))?;
            drain(codec, decoder, out, bytes_max)
        }
    }
}

/// Reads to the end, or to one byte over the bound.
fn drain(codec: Compression, reader: impl Read, out: &mut Vec<u8>, bytes_max: usize) -> Result<()> {
    let before = out.len();
    reader.take(bytes_max as u64 + 1).read_to_end(out).map_err(|e| broken(codec, e))?;
    check_room(out.len() - before, bytes_max)
}

/// Java's framing, or one bare block as some other clients write it.
fn unsnappy(packed: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<()> {
    let start = out.len();
    let Some(mut blocks) = packed.strip_prefix(&SNAPPY_HEADER[..8]).and_then(|rest| rest.get(8..)) else {
        return unsnappy_block(packed, out, bytes_max);
    };
    while !blocks.is_empty() {
        let (len, rest) =
            U32::read_from_prefix(blocks).map_err(|_| broken(Compression::Snappy, "cut block"))?;
        let block = rest.get(..len.get() as usize).ok_or_else(|| broken(Compression::Snappy, "cut block"))?;
        unsnappy_block(block, out, bytes_max - (out.len() - start))?;
        blocks = &rest[block.len()..];
    }
    Ok(())
}

fn unsnappy_block(block: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<()> {
    // The block says its size: believed only up to the bound, and up to what snappy can make of so few bytes
    // (a copy of three bytes gives at most 64).
    let len = snap::raw::decompress_len(block).map_err(|e| broken(Compression::Snappy, e))?;
    check_room(len, bytes_max)?;
    if len > block.len().saturating_mul(64) {
        return Err(broken(Compression::Snappy, "a block claims more than its bytes can hold"));
    }
    let start = out.len();
    out.resize(start + len, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map(drop)
        .map_err(|e| broken(Compression::Snappy, e))
}

fn check_room(bytes: usize, bytes_max: usize) -> Result<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::new(
        Code::BatchTooLarge,
        format!("the batch's records are over {bytes_max} bytes once decompressed; send smaller batches"),
    ))
}

#[cold]
fn broken(codec: Compression, why: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidBatch, format!("the batch's {} data cannot be read: {why}", codec.name()))
}
