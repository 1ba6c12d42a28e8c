//! A witness compares what a subscriber gets with the file, line by line, as it comes. It remembers only the last
//! number of each partition, and still nothing can be missing, doubled, changed or out of order unseen. Pure.

use super::source::Source;
use flumen_model::PartitionNumber;
use flumen_model::partitioner::of_key;
use std::num::NonZeroU32;

/// The partition of a numbered line: that of its key, as for every client.
pub(crate) fn partition_of(key: &[u8], partitions: NonZeroU32) -> PartitionNumber {
    of_key(key, partitions)
}

/// What one subscriber has got so far.
pub(crate) struct Witness<'a> {
    source: &'a Source,
    /// The number of the last line of each partition; lines are numbered from 1.
    last: Vec<u64>,
    partitions: NonZeroU32,
    lines: u64,
    bytes: u64,
    highest: u64,
}

impl<'a> Witness<'a> {
    /// One that has got nothing.
    pub(crate) fn new(source: &'a Source, partitions: NonZeroU32) -> Witness<'a> {
        let last = vec![0; partitions.get() as usize];
        Witness { source, last, partitions, lines: 0, bytes: 0, highest: 0 }
    }

    /// Takes a record. An error says in what it differs from what was published.
    pub(crate) fn take(
        &mut self,
        partition: PartitionNumber,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), String> {
        let key = key.ok_or("a record came without its number")?;
        let text = String::from_utf8_lossy(key);
        let number: u64 = text.parse().map_err(|_| format!("a record came with the number {text:?}"))?;
        if number == 0 {
            return Err("a record came with the number 0, which no line has".to_owned());
        }
        if partition_of(key, self.partitions) != partition {
            return Err(format!("line {number} came from partition {partition}, where it does not belong"));
        }
        let last = &mut self.last[partition.0 as usize];
        if number <= *last {
            return Err(format!(
                "line {number} of partition {partition} came behind line {last}: twice, or out of order"
            ));
        }
        if value != Some(self.source.line(number - 1)) {
            return Err(format!("line {number} is not what was published"));
        }
        *last = number;
        self.lines += 1;
        self.bytes += value.map_or(0, <[u8]>::len) as u64;
        self.highest = self.highest.max(number);
        Ok(())
    }

    /// How many lines came.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes of the lines that came.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the lines 1 to `total` came, each once, and nothing else. Numbers only rise within a partition and
    /// each belongs to one, so that as many as `total`, none of them higher, can only be all of them.
    pub(crate) fn is_complete(&self, total: u64) -> Result<bool, String> {
        match self.highest > total {
            true => Err(format!("line {} came, but only {total} were published", self.highest)),
            false => Ok(self.lines == total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITIONS: NonZeroU32 = NonZeroU32::new(3).unwrap();

    fn source() -> Source {
        Source::for_test(b"a\nb\n\nc")
    }

    fn take(witness: &mut Witness<'_>, number: u64, value: &[u8]) -> Result<(), String> {
        let key = number.to_string();
        witness.take(partition_of(key.as_bytes(), PARTITIONS), Some(key.as_bytes()), Some(value))
    }

    /// A witness that has got the first ten lines.
    fn of_ten(source: &Source) -> Witness<'_> {
        let mut witness = Witness::new(source, PARTITIONS);
        for number in 1..=10 {
            assert_eq!(witness.is_complete(10), Ok(false));
            take(&mut witness, number, source.line(number - 1)).unwrap();
        }
        witness
    }

    #[test]
    fn all_lines_in_their_partitions_order_are_complete() {
        let source = source();
        let witness = of_ten(&source);
        assert_eq!(witness.is_complete(10), Ok(true));
        assert_eq!(witness.is_complete(11), Ok(false));
        assert!(witness.is_complete(9).is_err());
        assert_eq!((witness.lines(), witness.bytes()), (10, 8));
    }

    #[test]
    fn a_line_twice_or_late_or_changed_or_astray_is_seen_at_once() {
        let source = source();
        let mut witness = of_ten(&source);
        assert!(take(&mut witness, 10, source.line(9)).unwrap_err().contains("twice"));
        assert!(take(&mut witness, 11, b"x").unwrap_err().contains("not what was published"));
        assert!(take(&mut witness, 0, b"a").is_err());
        let right = partition_of(b"11", PARTITIONS).0;
        let wrong = PartitionNumber((right + 1) % PARTITIONS.get());
        assert!(witness.take(wrong, Some(b"11"), Some(source.line(10))).unwrap_err().contains("belong"));
        assert!(witness.take(wrong, None, Some(b"a")).is_err());
        assert!(witness.take(wrong, Some(b"eleven"), Some(b"a")).is_err());
        assert!(take(&mut witness, 11, source.line(10)).is_ok());
    }

    #[test]
    fn a_missing_line_is_never_complete() {
        let source = source();
        let mut witness = Witness::new(&source, PARTITIONS);
        for number in (1..=11).filter(|number| *number != 5) {
            take(&mut witness, number, source.line(number - 1)).unwrap();
        }
        assert_eq!(witness.is_complete(11), Ok(false));
        assert!(witness.is_complete(10).is_err(), "as many as ten, but not the first ten");
    }
}
