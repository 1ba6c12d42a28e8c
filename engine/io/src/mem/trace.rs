//! The trace of a run, as one number: same seed, same number. Only sums up; decides nothing.

use std::cell::Cell;

/// How much of an operation's bytes goes into the trace; enough to tell two runs apart.
const BYTES_TRACED_MAX: usize = 4096;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum What {
    Poll = 1,
    Write,
    Read,
    Sync,
    Name,
    Connect,
    Send,
    Receive,
    Fault,
}

/// A running hash (multiply and rotate, not cryptographic) over what happened, in order.
#[derive(Debug)]
pub(super) struct Trace(Cell<u64>);

impl Default for Trace {
    fn default() -> Self {
        Trace(Cell::new(0xCBF2_9CE4_8422_2325))
    }
}

impl Trace {
    /// Adds one event.
    pub(super) fn event(&self, what: What, a: u64, b: u64) {
        let mut hash = self.0.get();
        for word in [what as u64, a, b] {
            hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(29);
            hash = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        self.0.set(hash);
    }

    /// Adds bytes, by their length and their beginning.
    pub(super) fn bytes(&self, what: What, bytes: &[u8]) {
        let traced = &bytes[..bytes.len().min(BYTES_TRACED_MAX)];
        let sum = traced.chunks(8).fold(0u64, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31)
        });
        self.event(what, bytes.len() as u64, sum);
    }

    /// The number so far.
    pub(super) fn value(&self) -> u64 {
        self.0.get()
    }
}
