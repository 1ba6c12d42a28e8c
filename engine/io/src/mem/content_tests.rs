//! The contents of a simulated file against a plain model: live bytes exactly, and after a crash each sector
//! one of the values that it may have.

use super::content::{Content, SECTOR_BYTES, Shape};
use super::rng::Rng;
use proptest::prelude::*;

const SECTORS: usize = 32;

#[derive(Clone, Debug)]
enum Step {
    Write {
        sector: usize,
        sectors: usize,
        byte: u8,
        durable: bool,
    },
    Flush,
    FailedFlush,
    /// A flush during which a sector is written again.
    FlushAround {
        sector: usize,
        byte: u8,
    },
    Truncate {
        len: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let write =
        (0..SECTORS, 1..12usize, 1u8.., any::<bool>()).prop_map(|(sector, sectors, byte, durable)| {
            Step::Write { sector, sectors: sectors.min(SECTORS - sector), byte, durable }
        });
    prop_oneof![
        6 => write,
        1 => Just(Step::Flush),
        1 => Just(Step::FailedFlush),
        1 => (0..SECTORS, 1u8..).prop_map(|(sector, byte)| Step::FlushAround { sector, byte }),
        1 => (0..SECTORS * SECTOR_BYTES).prop_map(|len| Step::Truncate { len }),
    ]
}

/// Live bytes, and for each sector the values that a crash may leave.
struct Model {
    live: Vec<u8>,
    possible: Vec<Vec<u8>>,
}

impl Model {
    fn write(&mut self, sector: usize, sectors: usize, byte: u8, durable: bool) {
        let end = (sector + sectors) * SECTOR_BYTES;
        self.live.resize(self.live.len().max(end), 0);
        self.live[sector * SECTOR_BYTES..end].fill(byte);
        for possible in &mut self.possible[sector..sector + sectors] {
            if durable {
                possible.clear();
            }
            possible.push(byte);
        }
    }
}

fn flush(content: &mut Content, seq: u64, success: bool, between: impl FnOnce(&mut Content)) {
    content.begin_flush();
    let size = content.size();
    between(content);
    content.end_flush(seq, size, success);
}

fn check_crash(mut content: Content, model: &Model, seed: u64) -> Result<u64, TestCaseError> {
    content.crash(&mut Rng::new(seed, 9), Shape::EachSector);
    let bytes = content.read(0, SECTORS * SECTOR_BYTES);
    prop_assert_eq!(bytes.len() as u64, content.size());
    for (n, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
        let first = sector[0];
        prop_assert!(sector.iter().all(|b| *b == first), "sector {} is torn", n);
        prop_assert!(
            model.possible[n].contains(&first),
            "sector {} holds {}, which is none of {:?}",
            n,
            first,
            model.possible[n]
        );
    }
    Ok(content.size())
}

#[test]
fn a_sector_rewritten_during_a_flush_is_never_older_than_the_flush() {
    for seed in 0..20 {
        let mut content = Content::default();
        content.write(0, &[1; SECTOR_BYTES], 1, true);
        content.write(0, &[2; SECTOR_BYTES], 2, false);
        flush(&mut content, 2, true, |content| content.write(0, &[3; SECTOR_BYTES], 3, false));
        content.crash(&mut Rng::new(seed, 9), Shape::EachSector);
        let first = content.read(0, 1)[0];
        assert!(first == 2 || first == 3, "{first} was gone with the flush");
    }
}

proptest! {
    #[test]
    fn live_bytes_are_those_of_a_plain_file(steps in proptest::collection::vec(step(), 1..40)) {
        let mut content = Content::default();
        let mut model = Model { live: Vec::new(), possible: vec![vec![0]; SECTORS] };
        for (n, step) in steps.into_iter().enumerate() {
            let seq = 2 * n as u64 + 1;
            match step {
                Step::Write { sector, sectors, byte, durable } => {
                    content.write((sector * SECTOR_BYTES) as u64, &vec![byte; sectors * SECTOR_BYTES], seq, durable);
                    model.write(sector, sectors, byte, durable);
                }
                Step::Flush => flush(&mut content, seq, true, |_| {}),
                Step::FailedFlush => flush(&mut content, seq, false, |_| {}),
                Step::FlushAround { sector, byte } => {
                    let again = |content: &mut Content| {
                        content.write((sector * SECTOR_BYTES) as u64, &[byte; SECTOR_BYTES], seq + 1, false);
                    };
                    flush(&mut content, seq, true, again);
                    model.write(sector, 1, byte, false);
                }
                Step::Truncate { len } => {
                    content.truncate(len as u64, seq);
                    model.live.resize(len, 0);
                }
            }
            prop_assert_eq!(content.size() as usize, model.live.len());
            prop_assert!(content.read(0, SECTORS * SECTOR_BYTES) == model.live, "after step {}", n);
        }
    }

    #[test]
    fn a_crash_leaves_each_sector_old_or_new(steps in proptest::collection::vec(step(), 1..40), seed: u64) {
        let mut content = Content::default();
        let mut model = Model { live: Vec::new(), possible: vec![vec![0]; SECTORS] };
        for (n, step) in steps.into_iter().enumerate() {
            let seq = 2 * n as u64 + 1;
            match step {
                Step::Write { sector, sectors, byte, durable } => {
                    content.write((sector * SECTOR_BYTES) as u64, &vec![byte; sectors * SECTOR_BYTES], seq, durable);
                    model.write(sector, sectors, byte, durable);
                }
                Step::Flush => {
                    flush(&mut content, seq, true, |_| {});
                    // After a failed flush older values stay possible; the model does not tell them apart.
                }
                Step::FlushAround { sector, byte } => {
                    let again = |content: &mut Content| {
                        content.write((sector * SECTOR_BYTES) as u64, &[byte; SECTOR_BYTES], seq + 1, false);
                    };
                    flush(&mut content, seq, true, again);
                    model.write(sector, 1, byte, false);
                }
                Step::FailedFlush | Step::Truncate { .. } => {}
            }
        }
        check_crash(content, &model, seed)?;
    }

    #[test]
    fn a_flush_makes_everything_before_it_certain(
        steps in proptest::collection::vec(step(), 1..20),
        after in proptest::collection::vec((0..SECTORS, 1u8..), 0..5),
        seed: u64,
    ) {
        let mut content = Content::default();
        let mut model = Model { live: Vec::new(), possible: vec![vec![0]; SECTORS] };
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write { sector, sectors, byte, durable } => {
                    content.write((sector * SECTOR_BYTES) as u64, &vec![byte; sectors * SECTOR_BYTES], n as u64, durable);
                    model.write(sector, sectors, byte, durable);
                }
                Step::Truncate { len } => {
                    let len = len / SECTOR_BYTES * SECTOR_BYTES;
                    content.truncate(len as u64, n as u64);
                    model.live.resize(len, 0);
                }
                _ => {}
            }
        }
        flush(&mut content, 1000, true, |_| {});
        let size = content.size();
        for (sector, possible) in model.possible.iter_mut().enumerate() {
            *possible = vec![model.live.get(sector * SECTOR_BYTES).copied().unwrap_or(0)];
        }
        for (n, (sector, byte)) in after.into_iter().enumerate() {
            content.write((sector * SECTOR_BYTES) as u64, &[byte; SECTOR_BYTES], 2000 + n as u64, false);
            model.write(sector, 1, byte, false);
        }
        let crashed_size = check_crash(content, &model, seed)?;
        prop_assert!(crashed_size >= size, "the size was certain too");
    }
}
