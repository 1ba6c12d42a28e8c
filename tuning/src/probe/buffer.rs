//! A buffer that direct I/O accepts: it begins at a block's boundary. Made by allocating a block too much and
//! handing out the aligned part, so that no unsafe code is needed.

use flumen_model::limits::BLOCK_BYTES;

/// Aligned bytes.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` bytes that do not compress, from `seed`: some disks are faster with zeros, which nobody stores.
    pub(super) fn noise(len: usize, seed: u64) -> Buffer {
        let bytes = vec![0u8; len + BLOCK_BYTES];
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES);
        let mut buffer = Buffer { bytes, start, len };
        let mut state = seed | 1;
        for word in buffer.as_mut_slice().chunks_mut(8) {
            // xorshift64 (Marsaglia 2003): fast, and good enough not to compress.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
        }
        buffer
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    /// The bytes, to fill.
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_at_a_block_and_has_its_length() {
        for len in [1, 4096, 100_000] {
            let buffer = Buffer::noise(len, 7);
            assert_eq!(buffer.as_slice().len(), len);
            assert_eq!(buffer.as_slice().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
    }
}
