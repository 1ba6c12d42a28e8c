//! Copies of large runs of bytes. Only arithmetic on addresses; never anything that depends on what they hold.
//!
//! On some CPUs (AMD Zen 3 and 4) the string moves that C libraries use for large copies run at a fifth of their
//! speed when the destination lies 1 to 63 bytes behind the source within its page (glibc bug 30994). A batch
//! behind its frame's header, copied behind the journal's header, is just that. Short pieces take the vector path.

use bytes::{Bytes, BytesMut};

/// Where string moves compare places.
const PAGE_BYTES: usize = 4096;
/// Distances behind the source that are slow.
const SLOW: std::ops::Range<usize> = 1..64;
/// Short enough for the vector path everywhere.
const PIECE_BYTES: usize = 512;

/// Copies `from` to `to`, which is as long.
#[inline]
pub fn copy(to: &mut [u8], from: &[u8]) {
    if !is_slow(to.as_ptr(), from) {
        return to.copy_from_slice(from);
    }
    assert_eq!(to.len(), from.len(), "a copy is as long as its source");
    for (to, from) in to.chunks_mut(PIECE_BYTES).zip(from.chunks(PIECE_BYTES)) {
        to.copy_from_slice(from);
    }
}

/// A copy of its own.
pub fn copied(from: &[u8]) -> Bytes {
    let mut to = BytesMut::new();
    append(&mut to, from);
    to.freeze()
}

/// Copies `from` behind what `to` holds.
pub fn append(to: &mut BytesMut, from: &[u8]) {
    to.reserve(from.len());
    if !is_slow(to.spare_capacity_mut().as_ptr().cast(), from) {
        return to.extend_from_slice(from);
    }
    from.chunks(PIECE_BYTES).for_each(|piece| to.extend_from_slice(piece));
}

fn is_slow(to: *const u8, from: &[u8]) -> bool {
    let behind = to.addr().wrapping_sub(from.as_ptr().addr()) % PAGE_BYTES;
    from.len() > 4 * PIECE_BYTES && SLOW.contains(&behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_its_source_wherever_both_lie() {
        let from: Vec<u8> = (0..40_000u32).map(|at| (at * 7 / 3) as u8).collect();
        let mut to = vec![0; 50_000];
        for (len, distance) in [(0, 0), (1, 5), (2048, 8), (2049, 8), (30_001, 8), (30_001, 63), (39_000, 64)]
        {
            for start in [0, 1, 100] {
                let source = &from[start..start + len];
                let gap = (source.as_ptr().addr() + distance).wrapping_sub(to.as_ptr().addr()) % PAGE_BYTES;
                to.fill(0xee);
                copy(&mut to[gap..gap + len], source);
                assert_eq!(&to[gap..gap + len], source);
                assert_eq!(copied(source), source);
                assert!(to[..gap].iter().chain(&to[gap + len..]).all(|&byte| byte == 0xee));
            }
        }
    }
}
