//! What waits to be written to a server, in order. Small frames are packed into one buffer, large batches stay
//! slices of their own and are never copied. Never writes anything itself.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// A slice smaller than this is cheaper to copy than to send as one of its own.
const COPY_BYTES_MAX: usize = 1024;

/// A queue of bytes; read it as a [`Buf`], with [`Buf::chunks_vectored`] for all of it at once.
#[derive(Debug, Default)]
pub struct Outgoing {
    slices: VecDeque<Bytes>,
    slices_bytes: usize,
    /// Behind all slices.
    pack: BytesMut,
}

impl Outgoing {
    /// Where small frames are written to.
    pub(crate) fn pack(&mut self) -> &mut BytesMut {
        &mut self.pack
    }

    /// Queues bytes behind everything queued.
    pub(crate) fn push(&mut self, slice: Bytes) {
        if slice.len() < COPY_BYTES_MAX {
            self.pack.put_slice(&slice);
            return;
        }
        if !self.pack.is_empty() {
            let packed = self.pack.split().freeze();
            self.push_slice(packed);
        }
        self.push_slice(slice);
    }

    fn push_slice(&mut self, slice: Bytes) {
        self.slices_bytes += slice.len();
        self.slices.push_back(slice);
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.slices_bytes + self.pack.len()
    }

    fn chunk(&self) -> &[u8] {
        self.slices.front().map_or(&self.pack[..], |slice| slice)
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let pack = Some(&self.pack[..]).filter(|pack| !pack.is_empty());
        let chunks = self.slices.iter().map(|slice| &slice[..]).chain(pack);
        let mut count = 0;
        for (place, chunk) in out.iter_mut().zip(chunks) {
            *place = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(slice) = self.slices.front_mut() {
            let gone = slice.len().min(bytes);
            slice.advance(gone);
            self.slices_bytes -= gone;
            bytes -= gone;
            if !slice.is_empty() {
                return;
            }
            self.slices.pop_front();
        }
        self.pack.advance(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_whatever_each_write_takes() {
        for step in [1, 3, 1000, 10_000] {
            let mut out = Outgoing::default();
            let mut expected = Vec::new();
            for number in 0..20_u8 {
                out.pack().put_bytes(number, 10);
                out.push(Bytes::from(vec![number; usize::from(number) * 200]));
                expected.extend(vec![number; 10 + usize::from(number) * 200]);
            }
            let mut sent: Vec<u8> = Vec::new();
            while out.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 4];
                let count = out.chunks_vectored(&mut slices);
                let mut take = 0;
                for slice in &slices[..count] {
                    let part = slice.len().min(step - take);
                    sent.extend_from_slice(&slice[..part]);
                    take += part;
                }
                out.advance(take);
            }
            assert_eq!(sent, expected, "step {step}");
        }
    }

    #[test]
    fn a_large_batch_is_not_copied() {
        let mut out = Outgoing::default();
        let batch = Bytes::from(vec![1; 100_000]);
        out.push(batch.clone());
        assert_eq!(out.chunk().as_ptr(), batch.as_ptr());
    }
}
