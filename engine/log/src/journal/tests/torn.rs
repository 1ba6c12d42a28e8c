//! A write that a crash cut off is dropped, whatever of it is there, and nothing else with it.

use super::*;
use crate::journal::file::DATA_START;

const SECTOR: usize = 512;

/// The one live file of a journal: each write's bytes and frames, and what lay there before.
struct Open {
    spec: JournalSpec,
    images: Vec<Bytes>,
    before: Bytes,
    acks: Vec<Durable>,
}

fn open() -> Open {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    let before = images(&world, &spec)[0].clone();
    let main_spec = spec.clone();
    let main = move |host: MemHost| async move {
        let (acked, acks) = mpsc::channel();
        let (journal, _writer) = opened(&host, &main_spec, acked).await;
        for append in 0..3u64 {
            for third in 0..3 {
                journal.append([frame(append * 3 + third + 1)]);
            }
            host.sleep(Duration::from_micros(700)).await;
        }
        acks.try_iter().collect::<Vec<_>>()
    };
    let acks = run(MemMachine::new(world.clone(), 1), main).expect("it ends");
    Open { images: images(&world, &spec), spec, before, acks }
}

impl Open {
    /// The journal as it is when of write `last` only the chosen sectors were written, and nothing later.
    fn torn(&self, last: usize, written: impl Fn(usize) -> bool) -> (Seen, ScanReport) {
        let (start, end) = (self.acks[last].lsn_start.0 as usize, self.acks[last].lsn_end.0 as usize);
        let mut image = self.before.to_vec();
        image[..start].copy_from_slice(&self.images[0][..start]);
        for (number, at) in (start..end).step_by(SECTOR).enumerate() {
            if written(number) {
                image[at..at + SECTOR].copy_from_slice(&self.images[0][at..at + SECTOR]);
            }
        }
        let mut images = self.images.clone();
        images[0] = image.into();
        scanned(&self.spec, &images)
    }

    fn check(&self, last: usize, written: impl Fn(usize) -> bool + Copy, what: &str) {
        let (seen, report) = self.torn(last, written);
        let (whole, whole_report) = self.torn(last, |_| true);
        assert_eq!(report.damage, [], "{what}: an unacked write is no damage");
        assert_eq!(whole.writes.len(), last + 1);
        match seen.writes.len() - last {
            0 => {
                assert_eq!(seen.writes, whole.writes[..last], "{what}");
                assert_eq!(report.end, if last == 0 { Lsn(DATA_START) } else { self.acks[last - 1].lsn_end });
            }
            // Only bytes that hold no frames are missing.
            _ => assert_eq!((seen.writes, report.end), (whole.writes, whole_report.end), "{what}"),
        }
    }
}

#[test]
fn a_write_torn_at_any_sector_is_dropped_whole() {
    let open = open();
    for last in 0..open.acks.len() {
        let sectors = ((open.acks[last].lsn_end.0 - open.acks[last].lsn_start.0) / SECTOR as u64) as usize;
        for cut in 0..=sectors {
            open.check(last, |sector| sector < cut, &format!("write {last}, the first {cut} sectors"));
            open.check(last, |sector| sector >= cut, &format!("write {last}, without the first {cut}"));
            open.check(last, |sector| sector != cut, &format!("write {last}, without sector {cut}"));
            open.check(last, |sector| sector == cut, &format!("write {last}, only sector {cut}"));
        }
    }
}

#[test]
fn a_write_with_any_of_its_sectors_is_dropped_whole() {
    let open = open();
    let mut dice = Dice(5);
    for round in 0..400 {
        let (last, chosen) = (dice.below(open.acks.len() as u64) as usize, dice.below(u64::MAX >> 1));
        open.check(last, |sector| chosen >> (sector % 31) & 1 == 1, &format!("round {round}"));
    }
}

#[test]
fn what_is_left_of_a_torn_write_is_told() {
    let open = open();
    let last = open.acks.len() - 1;
    let (_, report) = open.torn(last, |sector| sector == 0);
    let torn = report.torn.expect("its first header is there");
    assert_eq!((torn.from, torn.to), (open.acks[last].lsn_start, open.acks[last].lsn_end));
    let (_, report) = open.torn(last, |_| false);
    assert_eq!(report.torn, None, "a write that left nothing is not told from none");
}

#[test]
fn damage_before_a_torn_write_is_damage() {
    let open = open();
    let last = open.acks.len() - 1;
    let acked = open.acks[last - 1];
    let (start, torn_end) = (acked.lsn_start.0 as usize, open.acks[last].lsn_end.0 as usize);
    let mut image = open.images[0].to_vec();
    image[start + 20] ^= 1;
    let kept = acked.lsn_end.0 as usize + SECTOR;
    image[kept..torn_end].copy_from_slice(&open.before[kept..torn_end]);
    let mut images = open.images.clone();
    images[0] = image.into();
    let (seen, report) = scanned(&open.spec, &images);
    assert_eq!(seen.writes.len(), last - 1);
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    assert_eq!((report.damage[0].from, report.damage[0].to), (acked.lsn_start, acked.lsn_end));
    assert_eq!(report.torn.expect("a trace").from, acked.lsn_end);
    assert_eq!(report.end, acked.lsn_end);
}
