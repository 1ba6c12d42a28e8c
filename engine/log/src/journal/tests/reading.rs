//! The scan of real files: large ones in several reads, and blocks that cannot be read at all. It comes to the
//! same as the scan in memory.

use super::*;
use flumen_io::mem::DiskOp;

/// Files that take several reads, with writes across their borders.
fn large() -> JournalSpec {
    JournalSpec {
        file_bytes: 5 << 20,
        files: 4,
        write_group_bytes_max: 256 << 10,
        append_bytes_max: 2 << 20,
        ..small()
    }
}

fn large_frame(index: u64) -> Frame {
    let len = if index.is_multiple_of(7) { 1_500_000 } else { (index * 7919 % 90_000) as usize };
    Frame { payload: vec![index as u8; len].into(), ..frame(index) }
}

fn filled(spec: &JournalSpec, appends: u64) -> MemWorld {
    let world = MemWorld::new();
    formatted(&world, spec);
    let spec = spec.clone();
    let main = move |host: MemHost| async move {
        let (acked, _acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &spec, acked).await;
        for index in 1..=appends {
            journal.append([large_frame(index)]);
            host.sleep(Duration::from_micros(index * 37 % 500)).await;
        }
        journal.close();
        writer.await.expect("nothing failed");
    };
    run(MemMachine::new(world.clone(), 1), main).expect("it ends");
    world
}

fn scanned_on_disk(world: &MemWorld, spec: &JournalSpec) -> (Seen, ScanReport) {
    let spec = spec.clone();
    let main = move |host: MemHost| async move {
        let mut seen = Seen::default();
        let report = scan(&host, &spec, &mut seen).await.expect("readable");
        (seen, report)
    };
    run(MemMachine::new(world.clone(), 1), main).expect("it ends")
}

#[test]
fn a_scan_in_several_reads_finds_every_write_and_every_damage() {
    let spec = large();
    let world = filled(&spec, 70);
    let (seen, report) = scanned_on_disk(&world, &spec);
    assert_eq!(seen.frames(), (1..=70).map(large_frame).collect::<Vec<_>>());
    assert!(report.groups > 10 && report.bytes > 2 * spec.file_bytes, "{report:?}");
    let mut dice = Dice(8);
    for _ in 0..6 {
        let (slot, byte) = (dice.below(3) as usize, dice.below(spec.file_bytes));
        world.corrupt(spec.file_path(slot), byte, 1).expect("there");
        let (on_disk, report) = scanned_on_disk(&world, &spec);
        let (in_memory, same) = scanned(&spec, &images(&world, &spec));
        assert_eq!((on_disk.writes, on_disk.lost, report), (in_memory.writes, in_memory.lost, same));
    }
}

#[test]
fn a_read_that_fails_a_few_times_and_then_succeeds_is_no_damage() {
    let spec = large();
    let world = filled(&spec, 20);
    for _ in 0..3 {
        world.fail_next(DiskOp::Read, "J0000");
    }
    let (seen, report) = scanned_on_disk(&world, &spec);
    assert_eq!((seen.frames(), report.damage), ((1..=20).map(large_frame).collect(), vec![]));
}

#[test]
fn a_visitor_that_fails_ends_the_scan() {
    struct Fails(u64);
    impl ScanVisitor for Fails {
        fn group(&mut self, _: Lsn, _: &[ScannedFrame]) {
            self.0 += 1;
        }

        fn lost(&mut self, _: &Damage) {}

        async fn after_group(&mut self) -> flumen_model::Result<()> {
            match self.0 {
                3 => Err(flumen_model::Error::new(flumen_model::Code::DiskFull, "no room for what was read")),
                _ => Ok(()),
            }
        }
    }
    let spec = large();
    let world = filled(&spec, 20);
    let main = move |host: MemHost| async move {
        let mut fails = Fails(0);
        (scan(&host, &spec, &mut fails).await.map(drop), fails.0)
    };
    let (result, writes) = run(MemMachine::new(world, 1), main).expect("it ends");
    assert_eq!((result.map_err(|error| error.code), writes), (Err(flumen_model::Code::DiskFull), 3));
}
