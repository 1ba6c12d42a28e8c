//! Cuts a stream of pieces into whole batches. A run of wanted batches within one piece leaves as one slice, not
//! copied; only a batch that lies across two pieces is put together. Pure: whoever feeds it judges the batches.

use bytes::{Bytes, BytesMut};
use flumen_model::batch::{BATCH_HEADER_BYTES, BatchView};
use flumen_model::copy;

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on behind it.
    Skip,
    /// It belongs to the output.
    Take,
    /// It does not, and nothing behind it does.
    Stop,
}

/// Bytes that are no batch, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) position: u64,
    pub(crate) what: String,
}

/// Cuts pieces that follow each other.
pub(crate) struct Cutter {
    /// Where the next batch to judge begins.
    position: u64,
    /// The front of a batch whose rest comes with the next piece.
    carry: BytesMut,
    /// Runs of whole batches that were taken.
    pub(crate) out: Vec<Bytes>,
    stopped: bool,
}

/// Where a batch's length field is, and what comes before what it counts (see [`flumen_model::batch`]).
const LENGTH_AT: std::ops::Range<usize> = 8..12;

impl Cutter {
    /// A cutter of pieces that begin at `position`, with a batch.
    pub(crate) fn new(position: u64) -> Cutter {
        Cutter { position, carry: BytesMut::new(), out: Vec::new(), stopped: false }
    }

    /// Whether a batch was judged [`Verdict::Stop`].
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Where the next batch to judge begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the batch that is not whole yet.
    pub(crate) fn carried(&self) -> usize {
        self.carry.len()
    }

    /// Where the first byte is that belongs to no whole batch yet; none when the pieces ended with a batch.
    pub(crate) fn cut_off_at(&self) -> Option<u64> {
        (!self.carry.is_empty()).then_some(self.position)
    }

    /// Takes the next piece; `judge` sees each batch that is whole now, with its position.
    pub(crate) fn feed(
        &mut self,
        mut piece: Bytes,
        judge: &mut impl FnMut(&BatchView<'_>, u64) -> Verdict,
    ) -> Result<(), Malformed> {
        if !self.carry.is_empty() {
            let Some(rest) = self.complete(piece, judge)? else { return Ok(()) };
            piece = rest;
        }
        let mut run = None;
        let mut at = 0;
        while !self.stopped {
            let Some(batch) = BatchView::peek(&piece[at..]).map_err(|error| self.malformed(error))? else {
                break;
            };
            match judge(&batch, self.position) {
                Verdict::Skip => {}
                Verdict::Take => {
                    run.get_or_insert(at);
                }
                Verdict::Stop => {
                    self.stopped = true;
                    break;
                }
            }
            at += batch.total_bytes();
            self.position += batch.total_bytes() as u64;
        }
        if let Some(start) = run {
            self.out.push(piece.slice(start..at));
        }
        if !self.stopped {
            copy::append(&mut self.carry, &piece[at..]);
        }
        Ok(())
    }

    /// Completes the carried batch and judges it; gives back what the piece has behind it, or nothing when the
    /// batch is longer still.
    fn complete(
        &mut self,
        mut piece: Bytes,
        judge: &mut impl FnMut(&BatchView<'_>, u64) -> Verdict,
    ) -> Result<Option<Bytes>, Malformed> {
        let more = BATCH_HEADER_BYTES.saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&piece.split_to(more.min(piece.len())));
        // The header is judged before its length is believed.
        BatchView::peek(&self.carry).map_err(|error| self.malformed(error))?;
        if self.carry.len() < BATCH_HEADER_BYTES {
            return Ok(None);
        }
        let length = self.carry[LENGTH_AT].try_into().map(i32::from_be_bytes).expect("four bytes");
        let missing = LENGTH_AT.end + length as usize - self.carry.len();
        if piece.len() < missing {
            copy::append(&mut self.carry, &piece);
            return Ok(None);
        }
        copy::append(&mut self.carry, &piece.split_to(missing));
        let bytes = self.carry.split().freeze();
        let batch = BatchView::parse(&bytes).map_err(|error| self.malformed(error))?;
        match judge(&batch, self.position) {
            Verdict::Skip => {}
            Verdict::Take => self.out.push(bytes.clone()),
            Verdict::Stop => self.stopped = true,
        }
        self.position += bytes.len() as u64;
        Ok(Some(piece))
    }

    fn malformed(&self, error: flumen_model::Error) -> Malformed {
        Malformed { position: self.position, what: error.message }
    }
}
