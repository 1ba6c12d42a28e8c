//! Reads the whole journal after a start: makes it durable first, orders the files, verifies every byte that
//! counts, and reports. It changes nothing on disk and decides nothing about groups.

use bytes::Bytes;
use flumen_io::{Access, File, Host};
use flumen_model::limits::BLOCK_BYTES;
use flumen_model::{Code, Error, Result};

use super::file::DATA_START;
use super::parse::{self, Found, Place, Step};
use super::plan::{self, Head, Stretch};
use super::report::{FileInfo, FileSpan, FileState, ScanReport, ScanVisitor};
use super::spec::JournalSpec;
use super::survey::{Survey, Totals};
use super::window::{Window, read_or_zeros};

/// Scans the journal: shows every intact write to the visitor and reports what is torn or damaged.
///
/// # Errors
/// The directory or a file cannot be opened or flushed, or holds files of another directory or shard; what the
/// visitor's [`ScanVisitor::after_group`] returns.
pub async fn scan<H: Host>(
    host: &H,
    spec: &JournalSpec,
    visitor: &mut impl ScanVisitor,
) -> Result<ScanReport> {
    spec.check();
    let files = open_files(host, spec, Access { create: false, ..Access::WRITE }).await?;
    let mut heads = Vec::with_capacity(files.len());
    for (slot, file) in &files {
        // What is read but not durable could be gone after the next power cut.
        file.sync_data().await.map_err(|error| failed(spec, *slot, "flushed", &error))?;
        let front = read_or_zeros::<H>(file.clone(), 0, DATA_START as usize + BLOCK_BYTES).await;
        let bytes = file.size().map_err(|error| failed(spec, *slot, "measured", &error))?;
        heads.push(Head::read(*slot, &front, bytes));
    }
    let plan = plan::plan(heads, spec)?;
    let mut survey = Survey::new(visitor);
    let mut infos = Vec::with_capacity(files.len());
    for stretch in &plan.stretches {
        let file = files.iter().find(|(slot, _)| Some(*slot) == stretch.slot).map(|(_, file)| file.clone());
        infos.push(scan_stretch(host, spec, stretch, file, &mut survey).await?);
    }
    infos.extend(plan.free.into_iter().map(free_info));
    Ok(report(survey.finish(), infos))
}

/// Opens the files of the ring, by their places.
pub(crate) async fn open_files<H: Host>(
    host: &H,
    spec: &JournalSpec,
    access: Access,
) -> Result<Vec<(usize, H::File)>> {
    let paths = host.list_dir(&spec.dir).await.map_err(|error| {
        let message = format!("the journal directory {} cannot be read: {error}", spec.dir.display());
        Error::new(Code::LogFailed, message)
    })?;
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(slot) = name.strip_prefix('J').and_then(|digits| digits.parse().ok()) else { continue };
        if spec.file_path(slot) == path {
            let file =
                host.open(&path, access).await.map_err(|error| failed(spec, slot, "opened", &error))?;
            files.push((slot, file));
        }
    }
    if files.is_empty() {
        let message = format!("{} holds no journal files: restore or format it", spec.dir.display());
        return Err(Error::new(Code::Corrupt, message));
    }
    Ok(files)
}

/// The error of a file that cannot be opened, flushed or written.
pub(crate) fn failed(spec: &JournalSpec, slot: usize, what: &str, error: &std::io::Error) -> Error {
    let path = spec.file_path(slot);
    Error::new(Code::LogFailed, format!("{} cannot be {what}: {error}; check the disk", path.display()))
}

async fn scan_stretch<H: Host, V: ScanVisitor>(
    host: &H,
    spec: &JournalSpec,
    stretch: &Stretch,
    file: Option<H::File>,
    survey: &mut Survey<'_, V>,
) -> Result<FileInfo> {
    let path = spec.file_path(stretch.slot.unwrap_or_default());
    let mut info = info(stretch);
    match (stretch.header, file) {
        (Some(header), Some(file)) => {
            let (first, end) = (header.first, stretch.span.end.min(header.end_max()));
            survey.begin(path, stretch.span, first.plus(DATA_START));
            let mut window = Window::new(host, file, DATA_START, (end.0 - first.0).max(DATA_START));
            let mut found = Found::default();
            let mut lsn = first.plus(DATA_START);
            while lsn < end {
                let place = Place { lsn, left: end.0 - lsn.0, seed: header.seed() };
                let step = parse::step(window.bytes(), place, &mut found);
                match step {
                    Step::More(bytes) => window.fill(bytes).await,
                    Step::Write(_) | Step::Broken => {
                        let bytes = conclude(survey, step, place, window.bytes(), &mut found);
                        window.advance(bytes);
                        lsn = lsn.plus(bytes as u64);
                        if matches!(step, Step::Write(_)) {
                            survey.after_write().await?;
                        }
                    }
                }
            }
            (info.span.end, info.only_marks) = survey.file_end();
        }
        _ => survey.lost_file(path, stretch.span),
    }
    close(survey, stretch, &mut info);
    Ok(info)
}

/// The stretch is over.
pub(crate) fn close<V: ScanVisitor>(survey: &mut Survey<'_, V>, stretch: &Stretch, info: &mut FileInfo) {
    if stretch.sealed {
        survey.seal(stretch.span.end);
        info.span.end = stretch.span.end;
    }
}

/// Tells the survey about a step that came to something, and how many bytes it took.
pub(crate) fn conclude<V: ScanVisitor>(
    survey: &mut Survey<'_, V>,
    step: Step,
    place: Place,
    window: &Bytes,
    found: &mut Found,
) -> usize {
    match step {
        Step::Write(bytes) => {
            survey.write(place.lsn, &window.slice(..bytes), found);
            bytes
        }
        Step::Broken => {
            survey.broken(place.lsn, found);
            BLOCK_BYTES.min(window.len())
        }
        Step::More(_) => 0,
    }
}

/// What is known of a stretch before it is read.
pub(crate) fn info(stretch: &Stretch) -> FileInfo {
    FileInfo {
        slot: stretch.slot,
        state: if stretch.header.is_some() { FileState::Live } else { FileState::Lost },
        span: stretch.span,
        nonce: stretch.header.map_or([0; 16], |header| header.nonce),
        previous: stretch
            .header
            .map_or_else(Default::default, |header| (header.previous_nonce, header.previous_end)),
        only_marks: false,
    }
}

fn free_info(slot: usize) -> FileInfo {
    FileInfo {
        slot: Some(slot),
        state: FileState::Free,
        span: FileSpan { seq: 0, first: Default::default(), end: Default::default() },
        nonce: [0; 16],
        previous: Default::default(),
        only_marks: false,
    }
}

/// The report of a finished survey.
pub(crate) fn report(totals: Totals, mut files: Vec<FileInfo>) -> ScanReport {
    if let Some(newest) = files.iter_mut().rev().find(|info| info.state != FileState::Free) {
        newest.only_marks &= totals.damage.iter().all(|damage| damage.to <= newest.span.first);
        // Damage at the end of the newest file counts as written: what follows begins behind it.
        newest.span.end = newest.span.end.max(totals.end);
    }
    ScanReport {
        end: totals.end,
        durable: totals.durable,
        files,
        torn: totals.torn,
        damage: totals.damage,
        groups: totals.groups,
        frames: totals.frames,
        bytes: totals.bytes,
        directories_damaged: totals.directories_damaged,
    }
}
