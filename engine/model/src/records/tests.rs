//! What reading records promises: every record comes back as it was given, whatever the codec, and no stranger's
//! length decides how much memory is used.

use super::*;
use crate::batch::BatchBuilder;
use crate::batch::tests::{build, inputs};
use proptest::prelude::*;

const ANY_SIZE: usize = crate::limits::BATCH_BYTES_HARD_MAX;

#[cfg(feature = "compression")]
const CODECS: &[Compression] = &Compression::ALL;
#[cfg(not(feature = "compression"))]
const CODECS: &[Compression] = &[Compression::None];

fn one_record(headers: &[(&[u8], Option<&[u8]>)], key: Option<&[u8]>, value: Option<&[u8]>) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(ANY_SIZE, Compression::None).unwrap();
    builder.append(UnixMillis(1), key, value, headers).unwrap();
    builder.finish()
}

#[test]
fn null_and_empty_stay_apart() {
    for (key, value) in
        [(None, None), (Some(&b""[..]), None), (None, Some(&b""[..])), (Some(&b""[..]), Some(&b""[..]))]
    {
        let batch = one_record(&[], key, value);
        let view = BatchView::parse(&batch).unwrap();
        let record = Records::new(&view, view.payload()).next().unwrap().unwrap();
        assert_eq!((record.key, record.value), (key, value));
    }
}

#[test]
fn duplicate_header_keys_stay_in_order() {
    let given: [(&[u8], Option<&[u8]>); 4] =
        [(b"a", Some(b"1")), (b"b", None), (b"a", Some(b"")), (b"a", Some(b"1"))];
    let batch = one_record(&given, None, None);
    let view = BatchView::parse(&batch).unwrap();
    let record = Records::new(&view, view.payload()).next().unwrap().unwrap();
    assert_eq!(record.headers.len(), 4);
    assert_eq!(record.headers.map(|header| (header.key, header.value)).collect::<Vec<_>>(), given);
}

#[test]
fn offsets_count_from_the_batchs_place() {
    let mut batch = build(&[(0, None, None, vec![]), (0, None, None, vec![])], Compression::None).to_vec();
    crate::batch::assign(&mut batch, Offset(1000), 1);
    let view = BatchView::parse(&batch).unwrap();
    let offsets: Vec<_> =
        Records::new(&view, view.payload()).map(|record| record.unwrap().offset.0).collect();
    assert_eq!(offsets, [1000, 1001]);
}

#[test]
fn a_huge_promised_length_fails_without_memory() {
    // Record length i32::MAX, then header count i32::MAX.
    let batch = one_record(&[], None, None);
    let view = BatchView::parse(&batch).unwrap();
    for payload in [&[0xfe, 0xff, 0xff, 0xff, 0x0f][..], &[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]] {
        let results: Vec<_> = Records::new(&view, payload).collect();
        assert_eq!(results.len(), 1, "the iterator ends after an error");
        assert_eq!(results[0].as_ref().unwrap_err().code, Code::InvalidBatch);
    }
}

#[test]
fn a_record_longer_than_its_content_and_an_offset_twice_are_refused() {
    let batch = build(&[(0, None, None, vec![]), (0, None, None, vec![])], Compression::None);
    let view = BatchView::parse(&batch).unwrap();
    assert_eq!(view.payload(), [12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0], "two records of six bytes");
    for payload in [
        [14, 0, 0, 0, 1, 1, 0, 9, 12, 0, 0, 2, 1, 1, 0].as_slice(),
        &[12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0],
    ] {
        let refused = Records::new(&view, payload).find_map(Result::err);
        assert_eq!(refused.map(|error| error.code), Some(Code::InvalidBatch), "{payload:?}");
    }
}

#[test]
fn too_few_and_too_many_records_are_told() {
    let three = build(
        &[(0, None, None, vec![]), (0, None, None, vec![]), (0, None, None, vec![])],
        Compression::None,
    );
    let two = build(&[(0, None, None, vec![]), (0, None, None, vec![])], Compression::None);
    let (three, two) = (BatchView::parse(&three).unwrap(), BatchView::parse(&two).unwrap());
    assert!(Records::new(&three, two.payload()).last().unwrap().is_err());
    assert!(Records::new(&two, three.payload()).last().unwrap().is_err());
    assert!(Records::new(&two, two.payload()).all(|record| record.is_ok()));
}

#[cfg(not(feature = "compression"))]
#[test]
fn without_codecs_a_compressed_batch_is_refused_clearly() {
    assert_eq!(BatchBuilder::new(ANY_SIZE, Compression::Zstd).unwrap_err().code, Code::Unsupported);
}

#[cfg(feature = "compression")]
mod compressed {
    use super::*;

    fn compressible(compression: Compression, value_bytes: usize) -> bytes::Bytes {
        build(&[(5, Some(b"key".to_vec()), Some(vec![b'x'; value_bytes]), vec![])], compression)
    }

    #[test]
    fn compressible_records_get_smaller_and_others_stay_plain() {
        for &codec in &CODECS[1..] {
            let batch = compressible(codec, 100_000);
            assert!(batch.len() < 10_000, "{codec:?}: {}", batch.len());
            assert_eq!(BatchView::parse(&batch).unwrap().compression(), codec);
            let tiny = compressible(codec, 1);
            assert_eq!(BatchView::parse(&tiny).unwrap().compression(), Compression::None, "{codec:?}");
        }
    }

    #[test]
    fn decompression_stops_at_its_bound() {
        for &codec in &CODECS[1..] {
            let batch = compressible(codec, 1_000_000);
            let view = BatchView::parse(&batch).unwrap();
            let plain = decompress(&view, 2_000_000).unwrap().len();
            assert_eq!(
                decompress(&view, plain).unwrap().len(),
                plain,
                "{codec:?}: the bound itself is allowed"
            );
            assert_eq!(decompress(&view, plain - 1).unwrap_err().code, Code::BatchTooLarge, "{codec:?}");
        }
    }

    #[test]
    fn a_snappy_length_that_lies_gets_no_memory() {
        let mut out = Vec::new();
        // One bare block that claims 2^32 - 1 bytes; and a framed one that claims 1 MiB in three bytes.
        for packed in [
            &[0xff, 0xff, 0xff, 0xff, 0x0f, 0][..],
            b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x03\x80\x80\x40",
        ] {
            assert!(crate::compression::decompress(Compression::Snappy, packed, &mut out, 2 << 20).is_err());
            assert_eq!(out.capacity(), 0);
        }
    }

    #[test]
    fn snappy_is_framed_as_the_java_library_does_and_bare_blocks_are_read_too() {
        let batch = compressible(Compression::Snappy, 100_000);
        let view = BatchView::parse(&batch).unwrap();
        assert_eq!(view.payload()[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
        let plain = decompress(&view, ANY_SIZE).unwrap();
        let bare = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let mut out = Vec::new();
        crate::compression::decompress(Compression::Snappy, &bare, &mut out, ANY_SIZE).unwrap();
        assert_eq!(out, *plain);
    }

    #[test]
    fn each_codec_is_in_the_form_that_kafkas_clients_read() {
        let forms: [(Compression, &[u8]); 4] = [
            (Compression::Gzip, &[0x1f, 0x8b, 8]),
            (Compression::Snappy, b"\x82SNAPPY\0"),
            // Version 1, independent blocks of 64 KiB: the Java client reads no dependent ones.
            (Compression::Lz4, &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40]),
            (Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
        ];
        for (codec, start) in forms {
            let batch = compressible(codec, 200_000);
            assert!(BatchView::parse(&batch).unwrap().payload().starts_with(start), "{codec:?}");
        }
    }

    #[test]
    fn what_no_codec_can_read_is_an_invalid_batch() {
        for &codec in &CODECS[1..] {
            let mut out = Vec::new();
            let error =
                crate::compression::decompress(codec, b"not compressed at all", &mut out, 1000).unwrap_err();
            assert_eq!(error.code, Code::InvalidBatch, "{codec:?}");
        }
    }

    proptest! {
        #[test]
        fn damaged_compressed_records_never_panic(
            inputs in inputs(), codec in prop::sample::select(&Compression::ALL[1..]), at: prop::sample::Index, flip in 1..=255u8,
        ) {
            let mut batch = build(&inputs, codec).to_vec();
            let at = 61 + at.index(batch.len() - 61);
            batch[at] ^= flip;
            crate::fuzz_targets::records(&batch);
        }
    }
}

proptest! {
    #[test]
    fn what_is_built_is_valid_and_comes_back_whatever_the_codec(
        inputs in inputs(), codec in prop::sample::select(CODECS),
    ) {
        let batch = build(&inputs, codec);
        let view = crate::batch::validate_produced(&batch, ANY_SIZE).unwrap();
        let largest = inputs.iter().map(|input| input.0).max().unwrap();
        prop_assert_eq!(view.max_timestamp().0, largest);
        let mut scratch = vec![1, 2, 3];
        let mut count = 0;
        for (at, record) in open(&view, &mut scratch, ANY_SIZE).unwrap().enumerate() {
            let record = record.unwrap();
            let (time, key, value, headers) = &inputs[at];
            prop_assert_eq!(record.offset.0, at as u64);
            prop_assert_eq!(record.timestamp.0, *time);
            prop_assert_eq!(record.key, key.as_deref());
            prop_assert_eq!(record.value, value.as_deref());
            let back: Vec<_> = record.headers.map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&back, headers);
            count += 1;
        }
        prop_assert_eq!(count, inputs.len());
    }
}
