//! Puts right the checksums of a changed input, so that what stands behind them is met too. It only ever touches
//! checksums, and only where a field that is there asks for one.

/// Where a batch's CRC stands, and where what it covers begins (Kafka's record batch v2).
const BATCH_CRC: std::ops::Range<usize> = 17..21;

/// A record batch: CRC-32C, big-endian, over all behind it. Only the first one's, to the end of its length.
pub fn batch(input: &mut [u8]) {
    let Some(length) = input.get(8..12) else { return };
    let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
    let end = length.saturating_add(12).min(input.len());
    if end > BATCH_CRC.end {
        let crc = crc32c::crc32c(&input[BATCH_CRC.end..end]);
        input[BATCH_CRC].copy_from_slice(&crc.to_be_bytes());
    }
}

/// A superblock: CRC-32C, little-endian, over the rest of its block.
pub fn superblock(input: &mut [u8]) {
    front(input, 4096, 0);
}

/// A journal file: the CRC of both headers and of every frame that begins where a frame may begin. The seed of the
/// frames is of a file header that is there, or of the one that the scan makes up.
pub fn journal(input: &mut [u8]) {
    const BLOCK: usize = 4096;
    const FILE_HEADER: usize = 128;
    for copy in input.chunks_mut(BLOCK).take(2) {
        front(copy, FILE_HEADER, 0);
    }
    let Some(header) = input.get(..FILE_HEADER).filter(|header| &header[4..8] == b"FLMJ") else { return };
    // Directory, shard, number, nonce: see the journal's FORMAT.md.
    let seed = [&header[16..32], &header[10..12], &header[32..40], &header[40..56]];
    let seed = seed.into_iter().fold(0, crc32c::crc32c_append);
    let mut at = 2 * BLOCK;
    while at + 64 <= input.len() {
        at += if &input[at + 4..at + 6] == b"LF" { frame(&mut input[at..], seed) } else { 8 };
    }
}

/// Mends a frame and tells how long it is.
fn frame(bytes: &mut [u8], seed: u32) -> usize {
    let payload = u32::from_le_bytes(bytes[24..28].try_into().expect("four bytes")) as usize;
    let whole = payload.checked_add(64).filter(|whole| *whole <= bytes.len());
    if let Some(whole) = whole {
        let crc = crc32c::crc32c_append(seed, &bytes[64..whole]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    }
    front(bytes, 64, seed);
    whole.map_or(8, |whole| whole.next_multiple_of(8))
}

/// A CRC in the first four bytes over the rest of `len` bytes.
fn front(bytes: &mut [u8], len: usize, seed: u32) {
    if let Some(covered) = bytes.get(4..len) {
        let crc = crc32c::crc32c_append(seed, covered);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
    }
}
