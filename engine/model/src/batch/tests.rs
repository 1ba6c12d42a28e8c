//! What the batch promises: Kafka's bytes, honest framing, and that nothing a stranger sends gets past it.

use super::*;
use crate::records::Records;
use bytes::Bytes;
use proptest::prelude::*;

const ANY_SIZE: usize = BATCH_BYTES_HARD_MAX;

/// Two records of producer 4711, epoch 3, sequence 42; made by another program after Kafka's format, with another
/// CRC-32C.
const GOLDEN: &str = "0000000000000000 00000048 ffffffff 02 9fd99c58 0000 00000001 0000018bcfe56800 0000018bcfe56805 \
    0000000000001267 0003 0000002a 00000002 1e000000026b0a68656c6c6f020268010c000a02010100";

fn golden() -> Vec<u8> {
    let digits: Vec<u8> = GOLDEN.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn sequence() -> Sequence {
    Sequence { producer_id: ProducerId(4711), producer_epoch: 3, base_sequence: 42 }
}

/// `count` small records of a plain producer.
fn batch_of(count: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(ANY_SIZE, Compression::None).unwrap();
    for at in 0..count {
        builder.append(UnixMillis(7), None, Some(&[at as u8; 3]), &[]).unwrap();
    }
    builder.finish().to_vec()
}

/// The golden batch with a change, and a checksum that fits it.
fn changed(change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut batch = golden();
    change(header_mut(&mut batch));
    write_crc(&mut batch);
    batch
}

fn refused(batch: &[u8]) -> Error {
    validate_produced(batch, ANY_SIZE).expect_err("the batch must be refused")
}

#[test]
fn a_built_batch_has_kafkas_bytes() {
    let mut builder = BatchBuilder::new(ANY_SIZE, Compression::None).unwrap();
    builder.append(UnixMillis(1_700_000_000_000), Some(b"k"), Some(b"hello"), &[(b"h", None)]).unwrap();
    let size = builder.append(UnixMillis(1_700_000_000_005), None, None, &[]).unwrap();
    builder.set_sequence(sequence());
    let batch = builder.finish();
    assert_eq!(batch, golden());
    assert_eq!(batch.len(), size);
}

#[test]
fn a_view_reads_every_field() {
    let bytes = [golden(), vec![9; 3]].concat();
    let view = BatchView::parse(&bytes).unwrap();
    assert_eq!(
        (view.base_offset(), view.last_offset(), view.next_offset()),
        (Offset(0), Offset(1), Offset(2))
    );
    assert_eq!((view.total_bytes(), view.bytes(), view.payload().len()), (84, &bytes[..84], 84 - 61));
    assert_eq!((view.leader_epoch(), view.crc(), view.attributes()), (-1, 0x9fd9_9c58, 0));
    assert_eq!((view.last_offset_delta(), view.record_count()), (1, 2));
    assert_eq!(view.base_timestamp(), UnixMillis(1_700_000_000_000));
    assert_eq!(view.max_timestamp(), UnixMillis(1_700_000_000_005));
    assert_eq!((view.producer_id(), view.producer_epoch()), (Some(ProducerId(4711)), 3));
    assert_eq!((view.base_sequence(), view.last_sequence()), (42, 43));
    assert_eq!(view.compression(), Compression::None);
    assert!(!view.is_transactional() && !view.is_control() && !view.is_append_time());
}

#[test]
fn sequences_wrap_to_zero_as_kafkas_do() {
    let batch = changed(|header| header.base_sequence = I32::new(i32::MAX));
    let view = validate_produced(&batch, ANY_SIZE).unwrap();
    assert_eq!((view.base_sequence(), view.last_sequence()), (i32::MAX, 0));
    let plain = batch_of(2);
    assert_eq!(BatchView::parse(&plain).unwrap().last_sequence(), -1);
}

#[test]
fn assigning_a_place_changes_no_checksummed_byte() {
    let mut batch = golden();
    assign(&mut batch, Offset(1 << 40), 9);
    let view = BatchView::parse(&batch).unwrap();
    assert_eq!((view.base_offset(), view.leader_epoch()), (Offset(1 << 40), 9));
    view.check_crc().unwrap();
    assert_eq!(batch[8..12], golden()[8..12]);
    assert_eq!(batch[16..], golden()[16..]);
}

#[test]
fn an_append_time_is_every_records_time_and_the_checksum_fits() {
    let mut batch = golden();
    stamp_append_time(&mut batch, UnixMillis(99));
    let view = BatchView::parse(&batch).unwrap();
    view.check_crc().unwrap();
    assert!(view.is_append_time());
    let times: Vec<_> =
        Records::new(&view, view.payload()).map(|record| record.unwrap().timestamp.0).collect();
    assert_eq!(times, [99, 99]);
}

#[test]
fn a_sound_batch_is_taken() {
    validate_produced(&golden(), 84).unwrap();
    validate_produced(&batch_of(1), ANY_SIZE).unwrap();
    // The leader epoch is the leader's to write; whatever a client has there is overwritten.
    validate_produced(&changed(|header| header.leader_epoch = I32::new(77)), ANY_SIZE).unwrap();
    validate_produced(&changed(|header| header.attributes = U16::new(ATTRIBUTE_TRANSACTIONAL)), ANY_SIZE)
        .unwrap();
}

#[test]
fn a_batch_over_the_limit_is_refused_with_both_sizes() {
    let error = validate_produced(&golden(), 83).unwrap_err();
    assert_eq!(error.code, Code::BatchTooLarge);
    assert!(error.message.contains("84") && error.message.contains("83"), "{error}");
}

#[test]
fn exactly_one_batch_is_taken() {
    assert_eq!(refused(&[golden(), golden()].concat()).code, Code::InvalidBatch);
    assert_eq!(refused(&[golden(), vec![0]].concat()).code, Code::InvalidBatch);
    assert_eq!(refused(&golden()[..83]).code, Code::InvalidBatch);
    assert_eq!(refused(&[]).code, Code::InvalidBatch);
}

#[test]
fn what_only_a_leader_may_write_is_refused_from_clients() {
    assert!(refused(&changed(|h| h.attributes = U16::new(ATTRIBUTE_CONTROL))).message.contains("control"));
    assert!(
        refused(&changed(|h| h.attributes = U16::new(ATTRIBUTE_DELETE_HORIZON))).message.contains("horizon")
    );
    assert_eq!(
        refused(&changed(|h| h.attributes = U16::new(ATTRIBUTE_APPEND_TIME))).code,
        Code::InvalidTimestamp
    );
    assert!(refused(&changed(|h| h.base_offset = I64::new(1))).message.contains("offset 0"));
}

#[test]
fn lying_counts_are_refused() {
    for (delta, count) in
        [(0, 2), (1, 1), (1, 0), (2, 2), (i32::MAX, 2), (i32::MAX, i32::MIN), (-1, 0), (2, 3), (0, 1)]
    {
        let batch = changed(|header| {
            header.last_offset_delta = I32::new(delta);
            header.record_count = I32::new(count);
        });
        assert_eq!(refused(&batch).code, Code::InvalidBatch, "{delta} {count}");
    }
}

#[test]
fn lying_lengths_magic_and_codecs_are_refused() {
    for length in [i32::MIN, -1, 0, 48, 71, 73, i32::MAX] {
        assert_eq!(refused(&changed(|h| h.length = I32::new(length))).code, Code::InvalidBatch, "{length}");
    }
    for magic in [0, 1, 3] {
        assert!(refused(&changed(|h| h.magic = magic)).message.contains("format 2"));
    }
    for codec in 5..8 {
        assert!(refused(&changed(|h| h.attributes = U16::new(codec))).message.contains("codec"));
    }
}

#[test]
fn a_producer_id_needs_its_epoch_and_sequence() {
    assert_eq!(refused(&changed(|h| h.base_sequence = I32::new(-1))).code, Code::InvalidBatch);
    assert_eq!(refused(&changed(|h| h.producer_epoch = I16::new(-1))).code, Code::InvalidBatch);
    let transactional = changed(|header| {
        header.attributes = U16::new(ATTRIBUTE_TRANSACTIONAL);
        header.producer_id = I64::new(-1);
    });
    assert_eq!(refused(&transactional).code, Code::InvalidBatch);
}

#[test]
fn a_damaged_batch_is_refused_by_its_checksum() {
    let mut batch = golden();
    batch[70] ^= 1;
    assert_eq!(refused(&batch).code, Code::BatchChecksum);
}

#[test]
fn records_that_contradict_the_batch_are_refused_even_with_a_true_checksum() {
    // In the golden batch the second record's offset delta is the byte 80, the first record's length byte 61.
    for (at, value) in [(80, 4), (80, 0), (80, 1), (61, 0x1c), (61, 0x20), (61, 1), (83, 2), (65, 4), (65, 3)]
    {
        let mut batch = golden();
        assert_ne!(batch[at], value);
        batch[at] = value;
        write_crc(&mut batch);
        assert_eq!(refused(&batch).code, Code::InvalidBatch, "byte {at} = {value}");
    }
    let mut trailing = [golden(), vec![0; 7]].concat();
    header_mut(&mut trailing).length = I32::new(72 + 7);
    write_crc(&mut trailing);
    assert!(refused(&trailing).message.contains("behind"));
}

#[test]
fn a_compressed_batch_is_taken_without_being_opened() {
    // The records are no gzip at all; only a consumer finds out.
    validate_produced(&changed(|header| header.attributes = U16::new(Compression::Gzip as u16)), ANY_SIZE)
        .unwrap();
}

#[test]
fn a_run_stops_at_a_partial_batch_and_says_where() {
    let (first, second) = (batch_of(1), batch_of(3));
    let bytes = [first.clone(), second.clone(), golden()].concat();
    let whole = first.len() + second.len();
    for cut in [1, 11, 60, 61, 83] {
        let mut run = Batches::new(&bytes[..whole + cut]);
        assert_eq!(run.by_ref().map(|batch| batch.record_count()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((run.position(), run.stop()), (whole, Some(&Stop::Partial)), "cut at {cut}");
    }
    let mut run = Batches::new(&bytes);
    assert_eq!((run.by_ref().count(), run.position(), run.stop()), (3, bytes.len(), Some(&Stop::End)));
}

#[test]
fn a_run_stops_at_what_is_no_batch() {
    let bytes = [golden(), vec![0; 100]].concat();
    let mut run = Batches::new(&bytes);
    assert_eq!(run.by_ref().count(), 1);
    assert_eq!(run.position(), 84);
    assert!(matches!(run.stop(), Some(Stop::Malformed(error)) if error.code == Code::InvalidBatch));
}

#[test]
fn a_record_that_does_not_fit_leaves_the_batch_as_it_was() {
    let mut builder = BatchBuilder::new(100, Compression::None).unwrap();
    let size = builder.append(UnixMillis(0), None, Some(&[0; 20]), &[]).unwrap();
    assert_eq!(
        builder.append(UnixMillis(0), None, Some(&[0; 20]), &[]).unwrap_err().code,
        Code::BatchTooLarge
    );
    assert_eq!((builder.bytes(), builder.count()), (size, 1));
    validate_produced(&builder.finish(), 100).unwrap();
    assert!(builder.is_empty());
    assert_eq!(
        builder.append(UnixMillis(0), None, Some(&[0; 90]), &[]).unwrap_err().code,
        Code::BatchTooLarge
    );
    assert!(builder.is_empty(), "a record that no batch can hold is not added to an empty one");
}

#[test]
fn timestamps_too_far_apart_for_a_batch_are_refused() {
    let mut builder = BatchBuilder::new(ANY_SIZE, Compression::None).unwrap();
    builder.append(UnixMillis(i64::MIN), None, None, &[]).unwrap();
    assert!(builder.append(UnixMillis(i64::MAX), None, None, &[]).is_err());
    assert_eq!(builder.count(), 1);
}

#[test]
fn a_builder_takes_its_memory_back() {
    let mut builder = BatchBuilder::new(ANY_SIZE, Compression::None).unwrap();
    let mut place = None;
    for round in 0..20 {
        builder.append(UnixMillis(round), None, Some(&[1; 1000]), &[]).unwrap();
        let batch = builder.finish();
        let now = batch.as_ptr();
        drop(batch);
        // The first rounds grow the memory; then it is the same.
        if round > 5 {
            assert_eq!(*place.get_or_insert(now), now, "round {round}");
        }
    }
}

/// A record: time, key, value, headers.
type Input = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

pub(crate) fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
    let nullable = move || proptest::option::of(bytes());
    let headers = proptest::collection::vec((bytes(), nullable()), 0..4);
    proptest::collection::vec((-1_000_000..1_000_000i64, nullable(), nullable(), headers), 1..20)
}

pub(crate) fn build(inputs: &[Input], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(ANY_SIZE, compression).unwrap();
    for (time, key, value, headers) in inputs {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        builder.append(UnixMillis(*time), key.as_deref(), value.as_deref(), &headers).unwrap();
    }
    builder.finish()
}

proptest! {
    #[test]
    fn a_mutation_is_refused_or_only_in_what_the_checksum_leaves_to_the_leader(
        inputs in inputs(), at: prop::sample::Index, flip in 1..=255u8,
    ) {
        let mut batch = build(&inputs, Compression::None).to_vec();
        let at = at.index(batch.len());
        batch[at] ^= flip;
        let taken = validate_produced(&batch, ANY_SIZE).is_ok();
        prop_assert_eq!(taken, (12..16).contains(&at), "byte {}", at);
    }

    #[test]
    fn a_mutation_with_a_true_checksum_never_panics_and_never_lies_about_its_records(
        inputs in inputs(), at: prop::sample::Index, flip in 1..=255u8,
    ) {
        let mut batch = build(&inputs, Compression::None).to_vec();
        let at = at.index(batch.len());
        batch[at] ^= flip;
        write_crc(&mut batch);
        if let Ok(view) = validate_produced(&batch, ANY_SIZE)
            && view.compression() == Compression::None
        {
            let offsets: Vec<_> =
                Records::new(&view, view.payload()).map(|record| record.unwrap().offset.0).collect();
            prop_assert_eq!(offsets, (0..u64::from(view.record_count())).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_cut_batch_is_never_taken(inputs in inputs(), at: prop::sample::Index) {
        let batch = build(&inputs, Compression::None);
        prop_assert!(validate_produced(&batch[..at.index(batch.len())], ANY_SIZE).is_err());
    }

    #[test]
    fn random_bytes_never_panic(mut data in proptest::collection::vec(any::<u8>(), 0..300), sound: bool) {
        if sound && data.len() > 61 {
            // Past the framing, into the rest.
            let length = data.len() as i32 - 12;
            let header = header_mut(&mut data);
            (header.magic, header.length) = (2, I32::new(length));
            header.attributes = U16::new(header.attributes.get() % 5);
        }
        crate::fuzz_targets::batch(&data);
        crate::fuzz_targets::records(&data);
    }
}
