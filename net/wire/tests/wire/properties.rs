//! Whatever comes, decoding never panics; and whatever is taken has exactly one form.

use crate::golden::{REPLIES, REQUESTS};
use crate::{hex, one_frame};
use bytes::BytesMut;
use flumen_model::{GroupId, Offset};
use flumen_wire::*;
use proptest::prelude::*;

/// A golden body behind the byte that picks its kind in a fuzz target.
fn picked(table: &[(FrameKind, &str)], at: prop::sample::Index) -> Vec<u8> {
    let (kind, body) = table[at.index(table.len())];
    let row = KINDS.iter().position(|row| row.kind == kind).unwrap();
    [vec![row as u8], hex(body)].concat()
}

/// Some bytes behind the first changed, some added, some cut.
fn mutated(
    mut data: Vec<u8>,
    flips: &[(prop::sample::Index, u8)],
    tail: &[u8],
    cut: prop::sample::Index,
) -> Vec<u8> {
    data.extend_from_slice(tail);
    if data.len() > 1 {
        for (at, flip) in flips {
            let at = 1 + at.index(data.len() - 1);
            data[at] ^= flip;
        }
    }
    data.truncate(1 + cut.index(data.len()));
    data
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn noise_never_panics(data in noise()) {
        fuzz_targets::frame(&data);
        fuzz_targets::request(&data);
        fuzz_targets::reply(&data);
    }

    #[test]
    fn damaged_messages_never_panic_and_what_is_taken_has_one_form(
        at: prop::sample::Index,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 0..3),
        tail in proptest::collection::vec(any::<u8>(), 0..3),
        cut: prop::sample::Index,
    ) {
        fuzz_targets::request(&mutated(picked(REQUESTS, at), &flips, &tail, cut));
        fuzz_targets::reply(&mutated(picked(REPLIES, at), &flips, &tail, cut));
    }

    #[test]
    fn noise_behind_a_preface_never_panics(data in noise(), short: bool) {
        let mut bytes = [&PREFACE[..], &data].concat();
        if short && bytes.len() > 16 {
            bytes[9..12].fill(0);
            bytes[12..16].copy_from_slice(&[1, 0, 1, 0]);
        }
        fuzz_targets::frame(&bytes);
        fuzz_targets::frame(&bytes[8..]);
    }

    #[test]
    fn lists_and_strings_come_back(
        name in "\\PC{0,40}",
        settings in proptest::collection::vec(("\\PC{0,9}", "\\PC{0,9}"), 0..9),
        positions in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u32>(), "\\PC{0,9}"), 0..9),
    ) {
        let create = CreateTopicRequest { name: name.clone(), partitions: 3, settings };
        let positions = positions.into_iter().map(|(group, offset, leader_epoch, metadata)| {
            Position { group: GroupId(group), offset: Offset(offset), leader_epoch, metadata }
        });
        let commit = CommitPositionsRequest { subscription: name, positions: positions.collect() };
        prop_assert_eq!(&there_and_back(&create), &create);
        prop_assert_eq!(&there_and_back(&commit), &commit);
    }

    #[test]
    fn a_batch_comes_back_and_every_frame_is_found_in_a_stream(
        batches in proptest::collection::vec(noise(), 1..5), cut: prop::sample::Index,
    ) {
        let mut stream = BytesMut::new();
        for batch in &batches {
            let request = ProduceRequest { group: GroupId(9), acks: Acks::Quorum, batch: batch.clone().into() };
            encode_request(1, &request, &mut stream).unwrap();
        }
        let stream = stream.freeze();
        let mut rest = stream.slice(..cut.index(stream.len() + 1));
        let mut found = Vec::new();
        while let Next::Frame { frame_bytes, .. } = frame::next(&rest, 1000).unwrap() {
            let body = rest.split_to(frame_bytes).slice(FRAME_HEADER_BYTES..);
            let (head, batch) = ProduceHead::split(&body).unwrap();
            prop_assert_eq!((head.group(), head.acks()), (GroupId(9), Acks::Quorum));
            found.push(batch.to_vec());
        }
        prop_assert_eq!(&found[..], &batches[..found.len()]);
        prop_assert!(found.len() == batches.len() || rest.len() < stream.len());
    }
}

fn there_and_back<R: Request>(request: &R) -> R {
    let mut out = BytesMut::new();
    encode_request(1, request, &mut out).unwrap();
    R::get(&one_frame(out).1).unwrap()
}
