//! What a record carries: its id, and bytes that only this record has at this place, so that nothing misplaced, mixed
//! or made up passes for it. A value can be made again from its id and length alone.

use flumen_model::batch::{Batches, Stop};
use flumen_model::records;
use std::fmt;

/// A record's name, given in the order of sending over all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.0)
    }
}

/// The shortest value: id and length.
pub const VALUE_BYTES_MIN: usize = 16;
/// A batch may grow so much when it is decompressed.
const OPEN_BYTES_MAX: usize = 64 << 20;

fn word(id: u64, place: u64) -> u64 {
    (id ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(23)
}

/// The value of a record: id and length, little-endian, then words that follow from id and place.
pub fn value(id: RecordId, len: usize) -> Vec<u8> {
    let len = len.max(VALUE_BYTES_MIN);
    let mut out = Vec::with_capacity(len + 8);
    out.extend(id.0.to_le_bytes());
    out.extend((len as u64).to_le_bytes());
    let mut place = 0;
    while out.len() < len {
        out.extend(word(id.0, place).to_le_bytes());
        place += 1;
    }
    out.truncate(len);
    out
}

/// The id in a value, when every byte of it is what was made for that id.
pub fn id_of(value: &[u8]) -> Option<RecordId> {
    let id = u64::from_le_bytes(value.get(..8)?.try_into().ok()?);
    let len = u64::from_le_bytes(value.get(8..16)?.try_into().ok()?);
    let rest = value.get(VALUE_BYTES_MIN..)?;
    let (words, tail) = rest.as_chunks::<8>();
    let fits = |(place, part): (usize, &[u8; 8])| word(id, place as u64) == u64::from_le_bytes(*part);
    let is_whole = len == value.len() as u64
        && words.iter().enumerate().all(fits)
        && word(id, words.len() as u64).to_le_bytes()[..tail.len()] == *tail;
    is_whole.then_some(RecordId(id))
}

/// A record where it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its offset.
    pub offset: u64,
    /// Its id; none when its bytes are nobody's.
    pub id: Option<RecordId>,
    /// Its time.
    pub timestamp: i64,
}

/// What was read of a partition with one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// First and next offset of each batch, in the order of the answer.
    pub batches: Vec<(u64, u64)>,
    /// All records.
    pub records: Vec<Seen>,
    /// What is wrong with its bytes.
    pub broken: Option<String>,
}

/// Opens a run of batches as a reader would, checksums included.
pub fn open(run: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut batches = Batches::new(run);
    for batch in batches.by_ref() {
        if let Err(error) = batch.check_crc() {
            reading.broken = Some(error.to_string());
            return reading;
        }
        reading.batches.push((batch.base_offset().0, batch.next_offset().0));
        let mut scratch = Vec::new();
        let opened = match records::open(&batch, &mut scratch, OPEN_BYTES_MAX) {
            Ok(opened) => opened,
            Err(error) => {
                reading.broken = Some(error.to_string());
                return reading;
            }
        };
        for record in opened {
            match record {
                Ok(record) => reading.records.push(Seen {
                    offset: record.offset.0,
                    id: record.value.and_then(id_of),
                    timestamp: record.timestamp.0,
                }),
                Err(error) => reading.broken = Some(error.to_string()),
            }
        }
    }
    match batches.stop() {
        Some(Stop::Malformed(error)) => reading.broken = Some(error.to_string()),
        Some(Stop::Partial) => reading.broken = Some("the last batch is cut off".to_string()),
        Some(Stop::End) | None => {}
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_its_record_and_one_changed_byte_makes_it_nobodys() {
        for len in [16, 17, 23, 24, 1000] {
            let mut bytes = value(RecordId(77), len);
            assert_eq!((id_of(&bytes), bytes.len()), (Some(RecordId(77)), len));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert_ne!(id_of(&bytes), Some(RecordId(77)), "{len}");
        }
        assert_eq!(id_of(b"short"), None);
    }

    #[test]
    fn a_piece_of_another_place_is_noticed() {
        let mut bytes = value(RecordId(5), 4096);
        let piece = bytes[1024..1536].to_vec();
        bytes[2048..2560].copy_from_slice(&piece);
        assert_eq!(id_of(&bytes), None);
    }
}
