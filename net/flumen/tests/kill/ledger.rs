//! What is known about the records of the topic `load`: what was sent, acked and read, and how far trims and positions
//! were asked for and acked. Everybody writes here what they saw, and whoever sees something else fails: an offset
//! that was acked or read once holds the same record for ever, or is trimmed.

use crate::common::chance::Chance;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

pub(crate) const WRITERS: usize = 3;
pub(crate) const PARTITIONS: usize = 4;

/// Bytes of a record's value in front of its filling: writer, partition, number.
const HEAD_BYTES: usize = 16;

/// Who sent a record, and its number among those of this writer in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) writer: usize,
    pub(crate) number: u64,
}

/// A number that only rises: as far as it was acked, and as far as it was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rising {
    pub(crate) acked: u64,
    pub(crate) asked: u64,
}

impl Rising {
    pub(crate) fn ask(&mut self, to: u64) {
        self.asked = self.asked.max(to);
    }

    pub(crate) fn ack(&mut self, to: u64) {
        self.acked = self.acked.max(to);
        self.ask(to);
    }
}

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Numbers below were handed to the producer.
    sent: [u64; WRITERS],
    /// Numbers below are acked.
    acked: [u64; WRITERS],
    /// What an ack or a reading said stands at an offset.
    known: BTreeMap<u64, Mark>,
    /// Behind the highest of these offsets.
    pub(crate) end: u64,
    /// The log start, as trims were asked for.
    pub(crate) trimmed: Rising,
    /// The named subscription's position.
    pub(crate) position: Rising,
}

impl Part {
    fn learn(&mut self, offset: u64, mark: Mark) {
        if offset >= self.trimmed.acked {
            let before = self.known.insert(offset, mark);
            assert!(before.is_none_or(|before| before == mark), "offset {offset}: {before:?}, now {mark:?}");
        }
        self.end = self.end.max(offset + 1);
    }

    pub(crate) fn acked(&mut self, mark: Mark, offset: Option<u64>) {
        let acked = &mut self.acked[mark.writer];
        *acked = (*acked).max(mark.number + 1);
        // A repeat may be known to be in the log, but not where.
        offset.into_iter().for_each(|offset| self.learn(offset, mark));
    }

    pub(crate) fn read(&mut self, offset: u64, mark: Mark) {
        let sent = self.sent[mark.writer];
        assert!(mark.number < sent, "offset {offset}: {mark:?}, which nobody sent yet ({sent})");
        self.learn(offset, mark);
    }
}

/// What holds of a partition at a moment, and must hold after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sure {
    pub(crate) end: u64,
    pub(crate) trimmed: u64,
    pub(crate) position: u64,
    acked: [u64; WRITERS],
}

/// All partitions, and whether to go on.
#[derive(Debug)]
pub(crate) struct Ledger {
    seed: u64,
    parts: Mutex<Vec<Part>>,
    stop: AtomicBool,
    /// Writers wait while more bytes than this are acked, so that a slow verification does not meet ever more.
    allowance: AtomicU64,
    /// Records acked and bytes of their values, and positions acked.
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
}

impl Ledger {
    pub(crate) fn new(seed: u64) -> Ledger {
        Ledger {
            seed,
            parts: Mutex::new((0..PARTITIONS).map(|_| Part::default()).collect()),
            stop: AtomicBool::new(false),
            allowance: AtomicU64::new(0),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        }
    }

    pub(crate) fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock().expect("nobody failed")
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Lets the writers go on until so many bytes more are acked.
    pub(crate) fn allow(&self, bytes: u64) {
        self.allowance.store(self.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Whether a writer must wait.
    pub(crate) fn has_enough(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.allowance.load(Ordering::Relaxed)
    }

    /// The next record of a writer to a partition: its mark and value.
    pub(crate) fn next_record(&self, writer: usize, partition: usize) -> (Mark, Vec<u8>) {
        let number = {
            let sent = &mut self.parts()[partition].sent[writer];
            *sent += 1;
            *sent - 1
        };
        let mark = Mark { writer, number };
        (mark, self.value(partition, mark))
    }

    /// A record's value follows from its mark: most are small, a few large.
    fn value(&self, partition: usize, mark: Mark) -> Vec<u8> {
        let Mark { writer, number } = mark;
        let mut chance = Chance::new(self.seed ^ number << 8 ^ (partition as u64) << 4 ^ writer as u64);
        let longest = chance.of(&[200, 200, 200, 200, 2_000, 2_000, 10_000, 60_000]);
        let filling = chance.below(longest) as usize;
        let mut value = Vec::with_capacity(HEAD_BYTES + filling + 8);
        value.extend_from_slice(&(writer as u32).to_le_bytes());
        value.extend_from_slice(&(partition as u32).to_le_bytes());
        value.extend_from_slice(&number.to_le_bytes());
        while value.len() < HEAD_BYTES + filling {
            value.extend_from_slice(&chance.next().to_le_bytes());
        }
        value.truncate(HEAD_BYTES + filling);
        value
    }

    /// The mark of a record that was read; it is the whole record, byte for byte, or nobody wrote it.
    pub(crate) fn mark_of(&self, partition: usize, value: &[u8]) -> Mark {
        let number = |at: usize, bytes: usize| {
            let mut number = [0; 8];
            number[..bytes].copy_from_slice(&value[at..at + bytes]);
            u64::from_le_bytes(number)
        };
        assert!(value.len() >= HEAD_BYTES, "partition {partition}: a record of {} bytes", value.len());
        let mark = Mark { writer: number(0, 4) as usize, number: number(8, 8) };
        assert!(mark.writer < WRITERS, "partition {partition}: {mark:?} is nobody's");
        assert!(self.value(partition, mark) == value, "partition {partition}: {mark:?} has other bytes");
        mark
    }

    /// What is known now.
    pub(crate) fn sure(&self) -> Vec<Sure> {
        let of = |part: &Part| Sure {
            end: part.end,
            trimmed: part.trimmed.acked,
            position: part.position.acked,
            acked: part.acked,
        };
        self.parts().iter().map(of).collect()
    }

    /// A partition was read from end to end: it has everything that is known of it, each record once and in order,
    /// and nothing else. `sure` is what was known before the reading began.
    pub(crate) fn check(
        &self,
        partition: usize,
        log_start: u64,
        read: &[(u64, Mark)],
        end: u64,
        sure: &Sure,
    ) {
        let part = &mut self.parts()[partition];
        let trimmed = sure.trimmed..=part.trimmed.asked;
        assert!(
            trimmed.contains(&log_start),
            "partition {partition}: log start {log_start}, not {trimmed:?}"
        );
        assert!(end >= sure.end, "partition {partition} ends at {end}, and {} were acked or read", sure.end);
        let offsets = read.iter().map(|(offset, _)| *offset);
        assert!(
            offsets.eq(log_start..end),
            "partition {partition}: not every offset from {log_start} to {end}"
        );
        let mut next = [None; WRITERS];
        for &(offset, mark) in read {
            let wanted = next[mark.writer].replace(mark.number + 1).unwrap_or(mark.number);
            assert_eq!(mark.number, wanted, "partition {partition}, offset {offset}, writer {}", mark.writer);
            part.read(offset, mark);
        }
        for (writer, next) in next.into_iter().enumerate() {
            // Where all of its records are trimmed there is nothing to see.
            let acked = sure.acked[writer];
            assert!(
                next.is_none_or(|next| next >= acked),
                "partition {partition}: {acked} of {writer} acked"
            );
        }
        part.known = part.known.split_off(&log_start);
    }
}
