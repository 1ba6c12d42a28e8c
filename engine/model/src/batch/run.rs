//! A run of batches, one behind the other, as segments, pushes and fetch replies hold them. Stops at what is not a
//! whole batch and says where and why; never skips anything.

use super::BatchView;
use crate::error::Error;

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At the end of the bytes, after a whole batch.
    End,
    /// Inside a batch whose rest is not here.
    Partial,
    /// Before bytes that are no batch.
    Malformed(Error),
}

/// Iterates over the whole batches at the start of some bytes.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    stop: Option<Stop>,
}

impl<'a> Batches<'a> {
    /// The batches at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches { bytes, position: 0, stop: None }
    }

    /// Bytes of the batches given so far: where the next one begins, or the run stopped.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Why the run stopped; none while it goes on.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    fn stopped(&mut self, stop: Stop) -> Option<BatchView<'a>> {
        self.stop = Some(stop);
        None
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = BatchView<'a>;

    fn next(&mut self) -> Option<BatchView<'a>> {
        if self.stop.is_some() {
            return None;
        }
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return self.stopped(Stop::End);
        }
        match BatchView::peek(rest) {
            Ok(Some(batch)) => {
                self.position += batch.total_bytes();
                Some(batch)
            }
            Ok(None) => self.stopped(Stop::Partial),
            Err(error) => self.stopped(Stop::Malformed(error)),
        }
    }
}

impl std::iter::FusedIterator for Batches<'_> {}
