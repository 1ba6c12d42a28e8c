//! Tests of the superblock: its bytes, its two copies, and what it refuses.

use super::*;
use flumen_io::Machine;
use flumen_io::mem::{DiskOp, MemHost, MemMachine, MemWorld};
use std::sync::mpsc;
use std::time::Duration;

const DIR: &str = "/data";

fn sample() -> Superblock {
    Superblock {
        sequence: 0x0102_0304_0506_0708,
        format_version: 1,
        reader_version_min: 1,
        finalized_version: 1,
        features: 0,
        directory_id: Uuid::from_bytes([0xd1; 16]),
        cluster_id: Uuid::nil(),
        node_name: "node-ä".into(),
        shards: 0x0203,
        journal_files: 8,
        journal_file_bytes: 128 << 20,
        created_ms: 0x1112_1314_1516_1718,
    }
}

#[test]
fn the_superblock_has_exactly_these_bytes() {
    let mut block = [0xff; BLOCK_BYTES];
    sample().encode(&mut block);
    let mut golden = vec![0; 4];
    golden.extend(b"\x01\0\0\0FLUMEN\0S\x01\0\0\0\x01\0\0\0");
    golden.extend([8, 7, 6, 5, 4, 3, 2, 1]);
    golden.extend([0; 8]);
    golden.extend([0xd1; 16]);
    golden.extend([0; 16]);
    golden.extend([0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
    golden.extend([0, 0, 0, 8, 0, 0, 0, 0]);
    golden.extend([8, 0, 0, 0, 3, 2, 7, 0]);
    golden.extend("node-ä".bytes());
    golden.resize(BLOCK_BYTES, 0);
    let crc = crc32c::crc32c(&golden[4..]);
    golden[..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(block.to_vec(), golden);
    assert_eq!(crc, GOLDEN_CRC);
    assert_eq!(Superblock::decode(&block), Some(sample()));
}

const GOLDEN_CRC: u32 = 1_719_303_895;

#[test]
fn no_bit_of_a_copy_may_flip() {
    let mut block = [0; BLOCK_BYTES];
    sample().encode(&mut block);
    for bit in (0..LAYOUT_BYTES * 8).chain([BLOCK_BYTES * 8 - 1]) {
        block[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Superblock::decode(&block), None, "bit {bit}");
        block[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(Superblock::decode(&block[..BLOCK_BYTES - 1]), None);
}

/// Runs a main on a machine with a data directory.
fn on<T: Send + 'static, F: Future<Output = T> + 'static>(
    machine: MemMachine,
    main: impl FnOnce(MemHost) -> F + Send + 'static,
) -> Option<T> {
    let (tx, rx) = mpsc::channel();
    let main = move |host: MemHost| async move {
        host.create_dir_all(Path::new(DIR)).await.expect("made");
        host.sync_dir(Path::new("/")).await.expect("flushed");
        tx.send(main(host).await).expect("the test waits");
    };
    machine.run(vec![main]).expect("the run ends");
    rx.try_recv().ok()
}

/// A world with a superblock written this many times.
fn stored(times: u64) -> MemWorld {
    let world = MemWorld::new();
    let main = move |host: MemHost| async move {
        let mut block = Superblock { sequence: 0, ..sample() };
        block.create(&host, Path::new(DIR)).await.expect("made");
        for _ in 0..times {
            block.store(&host, Path::new(DIR)).await.expect("stored");
        }
    };
    on(MemMachine::new(world.clone(), 1), main).expect("it ends");
    world
}

fn loaded(world: &MemWorld) -> Result<Option<Superblock>> {
    let main = |host: MemHost| async move { Superblock::load(&host, Path::new(DIR)).await };
    on(MemMachine::new(world.clone(), 1), main).expect("it ends")
}

fn sequence(world: &MemWorld) -> u64 {
    loaded(world).expect("readable").expect("formatted").sequence
}

#[test]
fn an_empty_directory_has_no_superblock() {
    assert_eq!(loaded(&MemWorld::new()), Ok(None));
}

#[test]
fn the_newest_copy_counts_and_a_damaged_one_is_healed_from_the_other() {
    for times in 0..4 {
        for copy in COPIES {
            let world = stored(times);
            assert_eq!(sequence(&world), times);
            let path = Path::new(DIR).join(copy);
            let was_newest = times > 0 && COPIES[(times % 2) as usize] == copy;
            world.corrupt(&path, 30, 0x10).expect("there");
            let left = if was_newest { times - 1 } else { times };
            assert_eq!(sequence(&world), left);
            world.crash(times);
            let healed = Superblock::decode(&world.read_file(&path).expect("there")).expect("written again");
            assert_eq!(healed.sequence, left);
        }
    }
}

#[test]
fn with_both_copies_damaged_nothing_is_guessed() {
    let world = stored(2);
    for copy in COPIES {
        world.corrupt(Path::new(DIR).join(copy), 0, 1).expect("there");
    }
    let error = loaded(&world).expect_err("nothing to go by");
    assert!(error.code == Code::Corrupt && error.message.contains("super.A"), "{error}");
}

#[test]
fn a_newer_format_or_an_unknown_feature_is_refused_with_both_versions() {
    let refused = |change: fn(&mut Superblock)| {
        let world = MemWorld::new();
        let main = move |host: MemHost| async move {
            let mut block = sample();
            change(&mut block);
            block.create(&host, Path::new(DIR)).await.expect("made");
        };
        on(MemMachine::new(world.clone(), 1), main).expect("it ends");
        loaded(&world).map_err(|error| (error.code, error.message))
    };
    let (code, message) =
        refused(|block| (block.format_version, block.reader_version_min) = (9, 7)).expect_err("newer");
    assert_eq!(code, Code::Unsupported);
    assert!(["format 9", "format 7", "up to 1"].iter().all(|part| message.contains(part)), "{message}");
    let (code, message) = refused(|block| block.features = 4).expect_err("unknown");
    assert!(code == Code::Unsupported && message.contains("0x4"), "{message}");
    let taken =
        refused(|block| block.format_version = 2).expect("a newer writer that this reader may follow");
    assert_eq!(taken.expect("there").format_version, 2);
}

#[test]
fn a_crash_at_any_moment_leaves_the_superblock_before_or_after() {
    for seed in 0..300 {
        let world = if seed % 3 == 0 { MemWorld::new() } else { stored(seed % 5) };
        let before = loaded(&world).expect("readable").map(|block| block.sequence);
        let main = |host: MemHost| async move {
            let dir = Path::new(DIR);
            match Superblock::load(&host, dir).await.expect("readable") {
                None => Superblock { sequence: 0, ..sample() }.create(&host, dir).await.expect("made"),
                Some(mut block) => block.store(&host, dir).await.expect("stored"),
            }
        };
        let machine = MemMachine::new(world.clone(), seed).stop_after(Duration::from_micros(seed * 3));
        let finished = on(machine, main).is_some();
        world.crash(seed);
        let after = loaded(&world).expect("a crash damages no superblock").map(|block| block.sequence);
        let next = Some(before.map_or(0, |sequence| sequence + 1));
        assert!(after == next || (after == before && !finished), "seed {seed}: {before:?} then {after:?}");
    }
}

#[test]
fn a_failed_write_is_an_error_and_leaves_the_copy_before() {
    let world = stored(3);
    world.fail_next(DiskOp::Sync, "super");
    let main = |host: MemHost| async move {
        let dir = Path::new(DIR);
        let mut block = Superblock::load(&host, dir).await.expect("readable").expect("formatted");
        block.store(&host, dir).await
    };
    let error = on(MemMachine::new(world.clone(), 1), main).expect("it ends").expect_err("the flush failed");
    assert!(error.message.contains("super.A"), "{error}");
    world.crash(1);
    assert!((3..=4).contains(&sequence(&world)));
}

#[test]
fn a_node_name_that_this_build_could_not_write_is_no_superblock() {
    let name_at = LAYOUT_BYTES - 256;
    for (len, first) in [(NAME_BYTES_MAX as u16 + 1, b'n'), (4, 0xff)] {
        let mut block = [0; BLOCK_BYTES];
        Superblock { node_name: "n".repeat(NAME_BYTES_MAX), ..sample() }.encode(&mut block);
        block[name_at - 2..name_at].copy_from_slice(&len.to_le_bytes());
        block[name_at] = first;
        let crc = crc32c::crc32c(&block[4..]);
        block[..4].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Superblock::decode(&block), None, "length {len}");
    }
}
