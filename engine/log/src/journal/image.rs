//! Scans the bytes of whole journal files in memory: the pure face of the scan, for fuzzing and for tests that
//! damage every byte. The same parser and the same conclusions as [`scan`](super::scan()).

use bytes::Bytes;
use flumen_model::limits::BLOCK_BYTES;
use flumen_model::{Lsn, ShardId};
use std::path::PathBuf;

use super::file::{DATA_START, FileHeader};
use super::parse::{self, Found, Place, Step};
use super::plan::{Head, Stretch};
use super::report::{Damage, FileInfo, FileSpan, ScanReport, ScanVisitor, ScannedFrame};
use super::scan;
use super::survey::Survey;

/// Shows a live or lost file's bytes to the survey.
pub(crate) fn scan_image<V: ScanVisitor>(
    path: PathBuf,
    image: &Bytes,
    stretch: &Stretch,
    survey: &mut Survey<'_, V>,
) -> FileInfo {
    let mut info = scan::info(stretch);
    match &stretch.header {
        Some(header) => {
            survey.begin(path, stretch.span, header.first.plus(DATA_START));
            writes(image, stretch, header, survey);
            (info.span.end, info.only_marks) = survey.file_end();
        }
        None => survey.lost_file(path, stretch.span),
    }
    scan::close(survey, stretch, &mut info);
    info
}

fn writes<V: ScanVisitor>(image: &Bytes, stretch: &Stretch, header: &FileHeader, survey: &mut Survey<'_, V>) {
    let mut found = Found::default();
    let limit = (stretch.span.end.0 - header.first.0).min(image.len() as u64) as usize;
    let mut at = DATA_START as usize;
    while at < limit {
        let lsn = header.first.plus(at as u64);
        let place = Place { lsn, left: (limit - at) as u64, seed: header.seed() };
        let window = image.slice(at..limit);
        let step = parse::step(&window, place, &mut found);
        assert!(!matches!(step, Step::More(_)), "the whole file is there");
        at += scan::conclude(survey, step, place, &window, &mut found);
    }
}

/// Scans any bytes as if they were a journal file, and returns the report. Never panics, whatever they are.
/// Without an intact header, one is made up, so that the frames are looked at all the same.
#[doc(hidden)]
pub fn fuzz_scan_file(data: &[u8]) -> ScanReport {
    let whole = data.len() - data.len() % BLOCK_BYTES;
    let image = Bytes::copy_from_slice(&data[..whole]);
    let head = Head::read(0, &image, whole as u64);
    let header = head.header.filter(|header| header.first.0 < u64::MAX / 2).unwrap_or(FileHeader {
        shard: ShardId(0),
        directory_id: uuid::Uuid::nil(),
        seq: 1,
        nonce: [0; 16],
        first: Lsn(0),
        oldest_live_seq: 1,
        previous_nonce: [0; 16],
        previous_end: Lsn(0),
        created_ms: 0,
        file_bytes: whole as u64,
    });
    let span = FileSpan { seq: header.seq, first: header.first, end: header.first.plus(whole as u64) };
    let stretch = Stretch { span, slot: Some(0), header: Some(header), sealed: false };
    let mut nobody = Nobody;
    let mut survey = Survey::new(&mut nobody);
    let info = scan_image(PathBuf::new(), &image, &stretch, &mut survey);
    scan::report(survey.finish(), vec![info])
}

struct Nobody;

impl ScanVisitor for Nobody {
    fn group(&mut self, _: Lsn, _: &[ScannedFrame]) {}

    fn lost(&mut self, _: &Damage) {}
}
