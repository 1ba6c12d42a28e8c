//! The producers' table as bytes, part of a partition's checkpoint: only what is committed, the least recently used
//! producer first. Layout: `FORMAT.md` beside the crate. Restoring never trusts a count.

use super::memory::Memory;
use super::sequence::KeptBatch;
use super::{NONE, Producers, Slot};
use crate::metadata::flat::{Reader, Reading, put_count, put_fixed};
use bytes::{BufMut, BytesMut};
use flumen_model::limits::PRODUCER_BATCHES_KEPT;
use flumen_model::{Code, Error, Offset, ProducerId, Result, UnixMillis};
use smallvec::SmallVec;
use zerocopy::little_endian::{I16, I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version that is written and the only one that is read.
const VERSION: u16 = 1;

const READING: Reading = Reading { what: "producers' snapshot", malformed: Code::Corrupt };

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ProducerRow {
    producer: I64,
    run: U32,
    epoch: I16,
    kept: U16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BatchRow {
    base_offset: U64,
    timestamp: I64,
    first_sequence: I32,
    last_offset_delta: U32,
}

impl Producers {
    /// Appends the committed table to `out`. The same committed batches give the same bytes on every replica.
    pub fn snapshot(&self, out: &mut BytesMut) {
        out.put_u16_le(VERSION);
        put_count(out, self.known);
        for Slot { producer, memory, .. } in self.by_last_use() {
            let batches = memory.batches();
            put_fixed(
                out,
                &ProducerRow {
                    producer: producer.0.into(),
                    run: memory.run().into(),
                    epoch: memory.epoch().into(),
                    kept: (batches.len() as u16).into(),
                },
            );
            batches.iter().for_each(|batch| put_fixed(out, &BatchRow::from(batch)));
        }
    }

    /// The table of a snapshot. When it has more than `producers_max` producers (the limit was lowered since), the
    /// most recently used remain.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a version of another release, [`Code::Corrupt`] for bytes that no table wrote.
    pub fn restore(bytes: &[u8], producers_max: usize) -> Result<Producers> {
        let mut reader = Reader::new(bytes, READING);
        let version = reader.u16()?;
        if version != VERSION {
            let message =
                format!("the producers' snapshot has version {version}, this release reads {VERSION}");
            return Err(Error::new(Code::Unsupported, message));
        }
        let mut table = Producers::new(producers_max);
        let count = reader.count(size_of::<ProducerRow>() + size_of::<BatchRow>())?;
        for place in 0..count {
            let (producer, memory) = read_producer(&mut reader)?;
            if count - place <= table.producers_max {
                table.take_in(producer, memory).map_err(|why| reader.malformed(why))?;
            }
        }
        reader.end()?;
        Ok(table)
    }

    fn take_in(&mut self, producer: ProducerId, memory: Memory) -> std::result::Result<(), &'static str> {
        if self.by_id.contains_key(&producer) {
            return Err("a producer stands in it twice");
        }
        let newest = self.slots.get(self.newest).and_then(|slot| slot.memory.newest());
        let grows = newest.map(KeptBatch::last_offset) < memory.newest().map(KeptBatch::last_offset);
        if !grows {
            return Err("its producers are not in the order of their last offsets");
        }
        let key = self.slot_of(producer);
        self.slots[key] = Slot { memory, newest_pending: NONE, ..self.slots[key].clone() };
        self.link_newest(key);
        Ok(())
    }
}

fn read_producer(reader: &mut Reader<'_>) -> Result<(ProducerId, Memory)> {
    let row: &ProducerRow = reader.fixed()?;
    let kept = usize::from(row.kept.get());
    if kept > PRODUCER_BATCHES_KEPT || row.producer.get() < 0 {
        return Err(reader.malformed("a producer has a negative id or more batches than are ever kept"));
    }
    let mut batches = SmallVec::<[KeptBatch; PRODUCER_BATCHES_KEPT]>::new();
    for _ in 0..kept {
        batches.push(reader.fixed::<BatchRow>()?.into());
    }
    let memory = Memory::restored(row.epoch.get(), row.run.get(), &batches);
    Ok((
        ProducerId(row.producer.get()),
        memory.ok_or_else(|| reader.malformed("a producer's batches contradict"))?,
    ))
}

impl From<&KeptBatch> for BatchRow {
    fn from(batch: &KeptBatch) -> BatchRow {
        BatchRow {
            base_offset: batch.base_offset.0.into(),
            timestamp: batch.timestamp.0.into(),
            first_sequence: batch.first_sequence.into(),
            last_offset_delta: batch.last_offset_delta.into(),
        }
    }
}

impl From<&BatchRow> for KeptBatch {
    fn from(row: &BatchRow) -> KeptBatch {
        KeptBatch {
            first_sequence: row.first_sequence.get(),
            last_offset_delta: row.last_offset_delta.get(),
            base_offset: Offset(row.base_offset.get()),
            timestamp: UnixMillis(row.timestamp.get()),
        }
    }
}
