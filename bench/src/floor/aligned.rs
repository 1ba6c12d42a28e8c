//! A buffer that starts at a whole block in memory, as direct I/O asks. It must never move after its offset was
//! taken.

use flumen_model::limits::BLOCK_BYTES;

/// An aligned buffer of whole blocks.
pub struct Aligned {
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` bytes (a whole number of blocks), filled with bytes that no disk can squeeze.
    pub fn noise(len: usize) -> Aligned {
        assert!(len.is_multiple_of(BLOCK_BYTES), "direct I/O moves whole blocks");
        let bytes = vec![0; len + BLOCK_BYTES].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start <= BLOCK_BYTES, "bytes can always be aligned");
        let mut buffer = Aligned { bytes, start, len };
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for word in buffer.bytes_mut().chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        buffer
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    /// The bytes, to fill.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_starts_at_a_whole_block_and_keeps_its_length() {
        for blocks in [1, 3, 256] {
            let mut buffer = Aligned::noise(blocks * BLOCK_BYTES);
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(BLOCK_BYTES));
            assert_eq!(buffer.bytes_mut().len(), blocks * BLOCK_BYTES);
        }
    }
}
