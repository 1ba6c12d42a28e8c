//! A file's bytes, front to back: large direct reads with a few ahead. What cannot be read reads as zeros, so
//! that checksums, not errors, decide what is lost.

use bytes::{Bytes, BytesMut};
use flumen_io::{File, Host};
use flumen_model::limits::BLOCK_BYTES;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use crate::{stubborn, ways};

/// One read. Direct reads of 1 MiB reach nearly the device's bandwidth with two in flight.
const READ_BYTES: u64 = 1024 * 1024;
/// Reads in flight ahead of the one being looked at.
const READS_AHEAD: usize = 2;

/// A window that moves over a file.
pub(crate) struct Window<H: Host> {
    host: H,
    file: H::File,
    bytes: Bytes,
    next: u64,
    end: u64,
    reads: VecDeque<Pin<Box<dyn Future<Output = Bytes>>>>,
}

impl<H: Host> Window<H> {
    /// A window over `[from, end)`, both whole blocks.
    pub(crate) fn new(host: &H, file: H::File, from: u64, end: u64) -> Window<H> {
        let mut window =
            Window { host: host.clone(), file, bytes: Bytes::new(), next: from, end, reads: VecDeque::new() };
        window.read_ahead();
        window
    }

    /// The bytes in the window.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Takes bytes off the front.
    pub(crate) fn advance(&mut self, bytes: usize) {
        drop(self.bytes.split_to(bytes));
    }

    /// Makes the window at least this long, or as long as the file goes.
    pub(crate) async fn fill(&mut self, bytes: usize) {
        if self.bytes.len() >= bytes || self.reads.is_empty() {
            return;
        }
        let mut joined = BytesMut::new();
        while self.bytes.len() + joined.len() < bytes {
            let Some(read) = self.reads.pop_front() else { break };
            let read = read.await;
            self.read_ahead();
            if self.bytes.is_empty() && joined.is_empty() {
                // The common case: nothing is left over, nothing is copied.
                self.bytes = read;
                continue;
            }
            joined.reserve(bytes.max(self.bytes.len() + read.len()));
            joined.extend_from_slice(&std::mem::take(&mut self.bytes));
            joined.extend_from_slice(&read);
        }
        if !joined.is_empty() {
            self.bytes = joined.freeze();
        }
    }

    fn read_ahead(&mut self) {
        while self.reads.len() < READS_AHEAD && self.next < self.end {
            let len = READ_BYTES.min(self.end - self.next);
            let read = read_or_zeros::<H>(self.file.clone(), self.next, len as usize);
            self.reads.push_back(Box::pin(self.host.spawn(read)));
            self.next += len;
        }
    }
}

/// Reads exactly `len` bytes; blocks that cannot be read, or lie past the end of the file, are zeros.
pub(crate) async fn read_or_zeros<H: Host>(file: H::File, position: u64, len: usize) -> Bytes {
    match file.read_at(position, len).await {
        Ok(bytes) if bytes.len() == len => bytes,
        Ok(short) => padded(&short, len),
        Err(_) => {
            let mut joined = BytesMut::with_capacity(len);
            for at in (0..len).step_by(BLOCK_BYTES) {
                let block = BLOCK_BYTES.min(len - at);
                match stubborn::read_at(&file, position + at as u64, block).await {
                    Ok(bytes) => joined.extend_from_slice(&bytes),
                    Err(error) => {
                        ways::take(ways::BLOCK_UNREADABLE);
                        tracing::warn!(position = position + at as u64, %error, "a block of the journal cannot be read")
                    }
                }
                joined.resize(at + block, 0);
            }
            joined.freeze()
        }
    }
}

fn padded(short: &[u8], len: usize) -> Bytes {
    let mut whole = BytesMut::with_capacity(len);
    whole.extend_from_slice(short);
    whole.resize(len, 0);
    whole.freeze()
}
