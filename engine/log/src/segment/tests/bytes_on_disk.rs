//! The layout of what is stored, byte by byte. A change here is a new format version.

use super::support::{DIR, SEED, batch, batches, empty, roll, run, spec};
use crate::segment::active::ActiveSegment;
use crate::segment::{BatchRef, Segments, SegmentsState};
use bytes::Bytes;
use flumen_io::mem::{MemHost, MemWorld};
use flumen_model::Code;
use flumen_model::limits::{BLOCK_BYTES, CHUNK_BYTES};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two batches of a known content: one block on disk, the rest in the tail.
fn known() -> ActiveSegment {
    let one = |index, base_offset, last_offset, max_timestamp, fill, bytes| BatchRef {
        index,
        term: 3,
        base_offset,
        last_offset,
        max_timestamp,
        bytes: Bytes::from(vec![fill; bytes]),
    };
    let first = one(11, 1000, 1004, 1_700_000_000_000, 0xaa, 3000);
    let second = one(13, 1007, 1007, 1_700_000_000_001, 0xbb, 1200);
    let mut active = ActiveSegment::begin(SEED, &first);
    active.place(&first);
    active.place(&second);
    let all = [&first.bytes[..], &second.bytes].concat();
    active.take_blocks(SEED, &all[..BLOCK_BYTES], Bytes::copy_from_slice(&all[BLOCK_BYTES..]));
    active
}

#[test]
fn the_index_file_has_these_bytes() {
    let seal = known().seal(SEED);
    let index = seal.index.blocks;
    assert_eq!((seal.index.position, index.len()), (0, 3 * BLOCK_BYTES));
    assert_eq!(hex(&index[..32]), "464c554d454e49580100400000000100e8030000000000002698a822cbe117e6");
    assert_eq!(
        hex(&index[BLOCK_BYTES..BLOCK_BYTES + 64]),
        "000000000700000000000000020000000168e5cf8b0100000b000000000000000d000000000000000300000000000000681000007ac77ffa0000000084de1520"
    );
    assert_eq!(
        hex(&index[2 * BLOCK_BYTES..2 * BLOCK_BYTES + 88]),
        "464c554d454e45580100000001000000e803000000000000f003000000000000681000000000000002000000000000000168e5cf8b0100000b000000000000000d00000000000000030000001f6815f5000000005399032d"
    );
    let padding = [32..BLOCK_BYTES, BLOCK_BYTES + 64..2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 88..3 * BLOCK_BYTES];
    assert!(padding.into_iter().flatten().all(|at| index[at] == 0));
    let block = seal.block.expect("a tail");
    assert_eq!(seal.position, BLOCK_BYTES as u64);
    assert!(block[..104].iter().all(|&byte| byte == 0xbb) && block[104..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_state_has_these_bytes() {
    let segments: Segments<MemHost> = empty();
    assert_eq!(hex(&segments.state().encode()), format!("01{}", "00".repeat(43)));
    let mut state = segments.state();
    state.floor = 500;
    state.end_offset = 1008;
    state.covered = (13, 3);
    state.terms.note(9, 2);
    state.terms.note(11, 3);
    state.terms.note(13, 3);
    let mut older = known();
    older.base_offset = 900;
    state.sealed.push(older.seal(SEED).segment);
    state.active = Some(std::rc::Rc::new(known()));
    let bytes = state.encode();
    assert_eq!(hex(&bytes), include_str!("state.hex").lines().collect::<String>());
    assert_eq!(SegmentsState::decode(bytes), Ok(state));
}

#[test]
fn a_state_with_given_up_ranges_has_these_bytes() {
    let segments: Segments<MemHost> = empty();
    let mut state = segments.state();
    (state.end_offset, state.covered) = (1008, (13, 3));
    state.lost.add(900, 907);
    state.lost.add(1000, 1005);
    let bytes = state.encode();
    let expected = concat!(
        "0100",
        "0200",             // version, flags: given up ranges
        "0000000000000000", // floor
        "f003000000000000", // end
        "0d00000000000000",
        "03000000", // covered
        "00000000", // terms
        "00000000", // sealed
        "02000000",
        "8403000000000000",
        "8b03000000000000",
        "e803000000000000",
        "ed03000000000000", // given up
        "00000000",         // pending
    );
    assert_eq!(hex(&bytes), expected);
    assert_eq!(SegmentsState::decode(bytes.clone()), Ok(state));
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        SegmentsState::decode(bytes.into()).map(|_| ()).map_err(|error| error.code)
    };
    let first = 2 + 2 + 8 + 8 + 12 + 4 + 4 + 4;
    assert_eq!(with(first, 0x8b), Err(Code::Corrupt), "an empty range");
    assert_eq!(with(first + 16, 0x00), Err(Code::Corrupt), "ranges that run back");
    assert_eq!(with(first - 4, 0x00), Err(Code::Corrupt), "none, although the flag says so");
    assert_eq!(with(first - 1, 0xff), Err(Code::Corrupt), "more than there are bytes for");
}

#[test]
fn a_file_holds_the_batches_verbatim_and_nothing_between() {
    let world = MemWorld::new();
    let all = batches(5, 300, 2000, true);
    let pushed = all.clone();
    run(&world, 1, move |host| async move {
        let segments = empty();
        for batch in pushed {
            segments.push(batch);
            segments.spread(&host, true, roll(250_000)).await.expect("space");
        }
        // Rolls once more, so that all but this one are sealed.
        segments.push(batch(9_999, 1 << 40, 1, 0, 0));
        segments.spread(&host, true, roll(1)).await.expect("space");
    });
    let mut stored = Vec::new();
    let mut base_offsets = Vec::new();
    for (path, size) in world.files() {
        if path.extension().is_some_and(|extension| extension == "log") {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            assert_eq!((name.len(), path.parent()), (20, Some(std::path::Path::new(DIR))));
            base_offsets.push(name.parse::<u64>().expect("a number"));
            let bytes = world.read_file(&path).expect("there");
            assert_eq!(bytes.len() as u64, size, "nothing is reserved behind the end");
            stored.push(bytes);
        }
    }
    assert!(stored.len() > 2);
    for (i, bytes) in stored.iter().enumerate() {
        let end = base_offsets.get(i + 1).copied().unwrap_or(u64::MAX);
        let own = all.iter().filter(|batch| (base_offsets[i]..end).contains(&batch.base_offset));
        let mut expected: Vec<u8> = own.flat_map(|batch| batch.bytes.iter().copied()).collect();
        expected.resize(expected.len().next_multiple_of(BLOCK_BYTES), 0);
        assert_eq!(bytes.len(), expected.len());
        assert!(*bytes == expected, "segment {i}");
    }
}

#[test]
fn whole_index_blocks_are_written_as_they_fill_and_left_alone() {
    let world = MemWorld::new();
    let all: Vec<BatchRef> = (0..150).map(|i| batch(i + 1, i, 1, 60_000, i as i64)).collect();
    let (old, new) = (all[..100].to_vec(), all[100..].to_vec());
    let state = run(&world, 1, move |host| async move {
        let segments = empty();
        old.into_iter().for_each(|batch| segments.push(batch));
        segments.spread(&host, true, roll(1 << 30)).await.expect("space");
        let state = segments.state();
        segments.sync(&host).await.expect("sound");
        let active = state.active.as_ref().expect("spread");
        assert_eq!((active.index_blocks, active.entries.len()), (1, 91 - 64));
        state.encode()
    });
    let path = format!("{DIR}/{:020}.idx", 0);
    let before = world.read_file(&path).expect("there");
    assert_eq!(before.len(), 2 * BLOCK_BYTES, "header and one block");
    world.crash(1);
    let restored = state.clone();
    run(&world, 2, move |host| async move {
        let segments = Segments::restore(spec(), &SegmentsState::decode(restored).expect("intact"));
        new.iter().for_each(|batch| segments.push(batch.clone()));
        segments.spread(&host, true, roll(1 << 30)).await.expect("space");
        segments.push(batch(9_999, 150, 1, 0, 0));
        segments.spread(&host, true, roll(1)).await.expect("space");
    });
    let after = world.read_file(&path).expect("there");
    let chunks = (150 * all[0].bytes.len()).div_ceil(CHUNK_BYTES);
    assert_eq!(after.len(), (1 + chunks.div_ceil(64) + 1) * BLOCK_BYTES, "header, blocks, footer");
    assert_eq!(after[..before.len()], before);
}
