//! The bytes of one segment from some position on, piece by piece: verified reads from disk, a few requests ahead
//! within the read budget, then the tail from memory. A byte whose chunk does not match its checksum never leaves
//! here.

use super::budget::ReadBudget;
use super::files::{Checked, Fault, FileKind};
use super::seed::SegmentSeed;
use super::segments::Segments;
use super::view::View;
use bytes::Bytes;
use crc32c::crc32c_append;
use flumen_io::{File, Host};
use flumen_model::limits::CHUNK_BYTES;
use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// What of a request is intact, and what is wrong behind it.
type Verified = (Bytes, Option<Fault>);

struct Request {
    start: u64,
    done: Pin<Box<dyn Future<Output = Verified>>>,
}

/// The pieces of one segment.
pub(crate) struct Pieces<'a, H: Host> {
    segments: &'a Segments<H>,
    host: &'a H,
    budget: &'a ReadBudget,
    view: &'a View,
    /// The next byte to hand out.
    position: u64,
    /// The next chunk to request.
    next: u64,
    /// Requests ahead of the reader end here.
    ahead_to: u64,
    /// How much further that moves when the reader gets there and wants more.
    more: u64,
    requests: VecDeque<Request>,
    failed: Option<Fault>,
}

impl<'a, H: Host> Pieces<'a, H> {
    /// The pieces from `position` on; about `bytes` of them are wanted. A long read adds what precedes the first
    /// wanted batch in its chunk.
    pub(crate) fn new(
        segments: &'a Segments<H>,
        host: &'a H,
        budget: &'a ReadBudget,
        view: &'a View,
        position: u64,
        bytes: usize,
    ) -> Pieces<'a, H> {
        let skipped = if bytes as u64 > CHUNK { CHUNK } else { 0 };
        let ahead_to = position.saturating_add(bytes as u64 + skipped);
        let next = position - position % CHUNK;
        Pieces {
            segments,
            host,
            budget,
            view,
            position,
            next,
            ahead_to,
            more: CHUNK,
            requests: VecDeque::new(),
            failed: None,
        }
    }

    /// The next piece; none behind the last. The error is final.
    pub(crate) async fn next(&mut self) -> Checked<Option<Bytes>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let disk_bytes = self.view.disk_bytes();
        if self.position >= disk_bytes {
            let skip = (self.position - disk_bytes).min(self.view.bytes() - disk_bytes) as usize;
            let tail = self.view.tail().split_off(skip);
            self.position += tail.len() as u64;
            return Ok((!tail.is_empty()).then_some(tail));
        }
        self.request_ahead().await?;
        let request = self.requests.pop_front().expect("there is more on disk, so it was requested");
        let (bytes, failed) = request.done.await;
        let end = (request.start + bytes.len() as u64).min(disk_bytes);
        if end <= self.position {
            return Err(failed.expect("a request without bytes has failed"));
        }
        self.failed = failed;
        let piece = bytes.slice((self.position - request.start) as usize..(end - request.start) as usize);
        self.position = end;
        Ok(Some(piece))
    }

    async fn request_ahead(&mut self) -> Checked<()> {
        let request_bytes = (self.budget.request_bytes() as u64 / CHUNK * CHUNK).max(CHUNK);
        if self.requests.is_empty() && self.next >= self.ahead_to {
            self.ahead_to = self.next + self.more;
            self.more = request_bytes;
        }
        let end = self.ahead_to.min(self.view.disk_blocks());
        while self.next < end && self.requests.len() < self.budget.requests_ahead() {
            // Whole chunks, since checksums cover no less; the last one is as long as it is.
            let wanted = (end - self.next).next_multiple_of(CHUNK).min(request_bytes);
            let len = wanted.min(self.view.disk_blocks() - self.next);
            let request = self.request(self.next, len as usize).await?;
            self.requests.push_back(request);
            self.next += len;
        }
        Ok(())
    }

    async fn request(&self, start: u64, len: usize) -> Checked<Request> {
        let first = (start / CHUNK) as u32;
        let mut expected = Vec::with_capacity(len.div_ceil(CHUNK_BYTES));
        for chunk in first..first + len.div_ceil(CHUNK_BYTES) as u32 {
            expected.push(self.segments.entry(self.host, self.view, chunk).await?.chunk_crc());
        }
        let base_offset = self.view.base_offset();
        let read = VerifiedRead {
            host: self.host.clone(),
            file: self.segments.log_file(self.host, self.view).await?,
            budget: self.budget.clone(),
            seed: SegmentSeed::new(self.segments.spec.seed, base_offset),
            path: Rc::new(self.segments.path(base_offset, FileKind::Log)),
            start,
            len,
            expected,
        };
        Ok(Request { start, done: Box::pin(self.host.spawn(read.run())) })
    }
}

/// One request to the device and the checksums that its chunks must have.
struct VerifiedRead<H: Host> {
    host: H,
    file: H::File,
    budget: ReadBudget,
    seed: SegmentSeed,
    path: Rc<PathBuf>,
    start: u64,
    len: usize,
    expected: Vec<u32>,
}

impl<H: Host> VerifiedRead<H> {
    async fn run(self) -> Verified {
        let permit = self.budget.take(self.len).await;
        let read = self.file.read_at(self.start, self.len).await;
        drop(permit);
        // Those that wait for the permit go to the device first.
        self.host.yield_now().await;
        match read {
            Ok(bytes) => self.verify(bytes),
            Err(error) => (Bytes::new(), Some(Fault::read(&self.path, self.start, &error))),
        }
    }

    /// Cuts the bytes before the first chunk that is not intact.
    fn verify(&self, mut bytes: Bytes) -> Verified {
        for (i, &expected) in self.expected.iter().enumerate() {
            let at = i * CHUNK_BYTES;
            let end = self.len.min(at + CHUNK_BYTES);
            let Some(chunk) = bytes.get(at..end) else {
                let failed =
                    Fault::new(&self.path, self.start + bytes.len() as u64, "the file ends too early");
                bytes.truncate(at);
                return (bytes, Some(failed));
            };
            let number = ((self.start + at as u64) / CHUNK) as u32;
            if crc32c_append(self.seed.chunk(number), chunk) != expected {
                let failed =
                    Fault::new(&self.path, self.start + at as u64, "the chunk does not match its checksum");
                bytes.truncate(at);
                return (bytes, Some(failed));
            }
        }
        (bytes, None)
    }
}
