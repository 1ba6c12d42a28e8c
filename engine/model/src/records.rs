//! The records inside a batch: an iterator over uncompressed bytes, and the bounded way to get them. Null and empty
//! stay apart, duplicate header keys stay, nothing is allocated per record. The numbers inside a compressed batch
//! are a stranger's until they are read here.
//!
//! ```text
//! record: length varint · attributes i8 · timestamp delta varlong · offset delta varint · key · value ·
//!         header count varint · headers (key, value)        key, value: length varint (-1 null) · bytes
//! ```

#[cfg(test)]
mod tests;

use crate::batch::{BatchView, Compression};
use crate::compression;
use crate::error::{Code, Error, Result};
use crate::ids::{Offset, UnixMillis};
use crate::varint::Reader;
use std::borrow::Cow;

/// One record, viewed in place.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// Its time: the producer's, or the append's when the topic wants that.
    pub timestamp: UnixMillis,
    /// Its key; none is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone, not an empty value.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// Its key: UTF-8 by Kafka's rule, but that is the producer's word.
    pub key: &'a [u8],
    /// Its value; none is not the same as empty.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in order, with duplicates. Walked once when the record was read, so that iterating
/// cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Headers<'a> {
    /// Reads all of a record's headers, which must end where it ends.
    fn read(mut reader: Reader<'a>) -> Result<Headers<'a>> {
        let left = reader.len()?;
        let headers = Headers { left, reader };
        for _ in 0..left {
            read_header(&mut reader)?;
        }
        if !reader.is_empty() {
            return Err(invalid("a record is longer than what is in it"));
        }
        Ok(headers)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(read_header(&mut self.reader).expect("the headers were walked when the record was read"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<RecordHeader<'a>> {
    let key_bytes = reader.len()?;
    Ok(RecordHeader { key: reader.take(key_bytes)?, value: reader.nullable()? })
}

/// Iterates over the records of a batch. Ends after the first error. Fails at the end when the batch promised
/// another number of records, or has bytes behind the last.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
    left: u32,
    base_offset: Offset,
    /// The smallest offset delta that the next record may have.
    delta_min: u32,
    delta_max: u32,
    times: Times,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum Times {
    From(i64),
    All(UnixMillis),
}

impl<'a> Records<'a> {
    /// The records of `batch` in `payload`, which is the batch's own when it is not compressed, and what
    /// [`decompress`] made of it when it is.
    pub fn new(batch: &BatchView<'_>, payload: &'a [u8]) -> Records<'a> {
        let times = match batch.is_append_time() {
            true => Times::All(batch.max_timestamp()),
            false => Times::From(batch.base_timestamp().0),
        };
        Records {
            reader: Reader::new(payload),
            left: batch.record_count(),
            base_offset: batch.base_offset(),
            delta_min: 0,
            delta_max: batch.last_offset_delta(),
            times,
            ended: false,
        }
    }

    fn read(&mut self) -> Result<Record<'a>> {
        let record_bytes = self.reader.len()?;
        let mut record = Reader::new(self.reader.take(record_bytes)?);
        let _attributes = record.byte()?;
        let timestamp_delta = record.long()?;
        let offset_delta = self.offset_delta(record.int()?)?;
        Ok(Record {
            offset: self.base_offset.plus(u64::from(offset_delta)),
            timestamp: self.timestamp(timestamp_delta)?,
            key: record.nullable()?,
            value: record.nullable()?,
            headers: Headers::read(record)?,
        })
    }

    fn offset_delta(&mut self, delta: i32) -> Result<u32> {
        let delta =
            u32::try_from(delta).ok().filter(|delta| (self.delta_min..=self.delta_max).contains(delta));
        let delta = delta
            .ok_or_else(|| invalid("a record's offset delta does not rise or is over the batch's last"))?;
        self.delta_min = delta + 1;
        Ok(delta)
    }

    fn timestamp(&self, delta: i64) -> Result<UnixMillis> {
        match self.times {
            Times::All(time) => Ok(time),
            Times::From(base) => {
                let time = base.checked_add(delta);
                time.map(UnixMillis).ok_or_else(|| invalid("a record's timestamp is out of all range"))
            }
        }
    }

    /// What there is to say behind the last record.
    fn finish(&mut self) -> Option<Result<Record<'a>>> {
        self.ended = true;
        (!self.reader.is_empty())
            .then(|| Err(invalid("the batch has bytes behind the records that it counts")))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Result<Record<'a>>> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            return self.finish();
        }
        self.left -= 1;
        let record = self.read();
        self.ended = record.is_err();
        Some(record)
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// The batch's records, uncompressed: borrowed when they already are, else at most `bytes_max` bytes of them.
/// `BatchTooLarge` when there are more, `InvalidBatch` when the codec cannot read them, `Unsupported` when this
/// build has no codecs.
pub fn decompress<'a>(batch: &BatchView<'a>, bytes_max: usize) -> Result<Cow<'a, [u8]>> {
    if batch.compression() == Compression::None {
        return Ok(Cow::Borrowed(batch.payload()));
    }
    let mut out = Vec::new();
    compression::decompress(batch.compression(), batch.payload(), &mut out, bytes_max)?;
    Ok(Cow::Owned(out))
}

/// Like [`decompress`], into memory that the caller keeps: `scratch` is overwritten when the batch is compressed,
/// and untouched when it is not.
pub fn open<'a>(batch: &BatchView<'a>, scratch: &'a mut Vec<u8>, bytes_max: usize) -> Result<Records<'a>> {
    if batch.compression() == Compression::None {
        return Ok(Records::new(batch, batch.payload()));
    }
    scratch.clear();
    compression::decompress(batch.compression(), batch.payload(), scratch, bytes_max)?;
    Ok(Records::new(batch, scratch))
}

#[cold]
fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidBatch, message)
}
