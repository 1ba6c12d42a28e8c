//! One entry per kind of outside bytes, for a fuzz runner. Each takes any bytes, and panics only when a promise of
//! this crate is broken.

use crate::batch::{BatchView, Batches, validate_produced};
use crate::limits::BATCH_BYTES_HARD_MAX;
use crate::records::{self, Records};
use crate::topic::TopicSettings;

/// A run of batches, and a producer's batch.
pub fn batch(data: &[u8]) {
    let mut run = Batches::new(data);
    let bytes: usize = run.by_ref().map(|batch| batch.total_bytes()).sum();
    assert_eq!(bytes, run.position(), "the run covers whole batches and nothing else");
    if let Ok(valid) = validate_produced(data, BATCH_BYTES_HARD_MAX) {
        assert_eq!(valid.bytes(), data, "a valid batch is all of what came");
        assert_eq!(
            valid.next_offset().0,
            u64::from(valid.record_count()),
            "it has as many records as offsets"
        );
    }
}

/// The records of a batch, its checksum not asked: what a consumer must stand.
pub fn records(data: &[u8]) {
    const BYTES_MAX: usize = 1 << 20;
    let Ok(batch) = BatchView::parse(data) else { return };
    if let Ok(payload) = records::decompress(&batch, BYTES_MAX) {
        assert!(payload.len() <= BYTES_MAX.max(data.len()), "decompression is bounded");
        for record in Records::new(&batch, &payload).map_while(Result::ok) {
            assert!(record.offset <= batch.last_offset(), "no record lies outside its batch");
            record.headers.for_each(drop);
        }
    }
}

/// Stored topic settings.
pub fn settings(data: &[u8]) {
    if let Ok((settings, bytes)) = TopicSettings::decode(data) {
        let mut again = bytes::BytesMut::new();
        settings.encode(&mut again);
        assert_eq!(again, &data[..bytes], "one meaning has one form");
    }
}
