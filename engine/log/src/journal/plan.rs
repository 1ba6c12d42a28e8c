//! Which files of the ring still count, in which order, and which are lost: decided from the files' headers
//! alone. Pure.

use flumen_model::{Code, Error, Lsn, Result};
use std::collections::BTreeMap;

use super::file::{DATA_START, FileHeader};
use super::frame;
use super::report::FileSpan;
use super::spec::JournalSpec;

/// What the front of a file says.
pub(crate) struct Head {
    /// The file's place in the ring.
    pub(crate) slot: usize,
    /// The newest intact copy of its header.
    pub(crate) header: Option<FileHeader>,
    /// Where the first write claims to begin. Read only when there is no header.
    pub(crate) claim: Option<Lsn>,
    /// The file is shorter than it was made.
    pub(crate) cut: bool,
}

impl Head {
    /// Reads the front of a file: the copies of the header and the first block of data.
    pub(crate) fn read(slot: usize, front: &[u8], bytes: u64) -> Head {
        let header = FileHeader::newest(front);
        let claim = front.get(DATA_START as usize..).and_then(frame::claimed_write_start);
        let cut = header.is_some_and(|header| bytes < header.file_bytes);
        Head { slot, header, claim, cut }
    }
}

/// What to scan.
pub(crate) struct Plan {
    /// Live and lost files, by number.
    pub(crate) stretches: Vec<Stretch>,
    /// Files that hold nothing that is needed.
    pub(crate) free: Vec<usize>,
}

/// A live or lost file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its number and positions: the end is the end of its last write when the next file tells it, else the end
    /// of the file.
    pub(crate) span: FileSpan,
    /// Its place in the ring; a guess when it is lost.
    pub(crate) slot: Option<usize>,
    /// Its header; `None` when it is lost.
    pub(crate) header: Option<FileHeader>,
    /// Everything up to its end was or may have been durable: the next file's header says so, or the file is
    /// cut short.
    pub(crate) sealed: bool,
}

/// Decides what to scan.
pub(crate) fn plan(heads: Vec<Head>, spec: &JournalSpec) -> Result<Plan> {
    let mut by_seq = BTreeMap::new();
    let (mut headless, mut free) = (Vec::new(), Vec::new());
    for head in heads {
        match head.header {
            None => headless.push(head),
            Some(header) => {
                let slot = head.slot;
                check(&header, slot, spec)?;
                if let Some((other, _)) = by_seq.insert(header.seq, (head, header)) {
                    return Err(twice(&header, [other.slot, slot], spec));
                }
            }
        }
    }
    let newest = by_seq.last_key_value().map(|(_, &(_, header))| header);
    let oldest_live = newest.map_or(1, |newest| newest.oldest_live_seq.min(newest.seq));
    let live = by_seq.split_off(&oldest_live);
    free.extend(by_seq.into_values().map(|(head, _)| head.slot));
    let mut stretches = live_stretches(live, oldest_live, spec)?;
    give_slots(&mut stretches, &mut headless);
    stretches.extend(lost_newest(newest.as_ref(), &mut headless, spec));
    free.extend(headless.into_iter().map(|head| head.slot));
    free.sort_unstable();
    Ok(Plan { stretches, free })
}

fn check(header: &FileHeader, slot: usize, spec: &JournalSpec) -> Result<()> {
    let path = spec.file_path(slot);
    let foreign = |is: String, wanted: String| {
        let message = format!(
            "{} belongs to {is}, but this is {wanted}: put the right file back or restore the directory",
            path.display()
        );
        Err(Error::new(Code::Corrupt, message))
    };
    if header.directory_id != spec.directory_id {
        return foreign(format!("data directory {}", header.directory_id), spec.directory_id.to_string());
    }
    if header.shard != spec.shard {
        return foreign(format!("shard {}", header.shard), format!("shard {}", spec.shard));
    }
    if header.file_bytes != spec.file_bytes {
        let is = format!("a journal with files of {} bytes", header.file_bytes);
        return foreign(is, format!("one with files of {} bytes", spec.file_bytes));
    }
    Ok(())
}

fn twice(header: &FileHeader, slots: [usize; 2], spec: &JournalSpec) -> Error {
    let [one, two] = slots.map(|slot| spec.file_path(slot));
    let message = format!(
        "{} and {} both say that they are journal file number {}: remove the copy",
        one.display(),
        two.display(),
        header.seq
    );
    Error::new(Code::Corrupt, message)
}

/// The files from the oldest live one to the newest, with a lost one wherever a number is missing.
fn live_stretches(
    live: BTreeMap<u64, (Head, FileHeader)>,
    oldest_live: u64,
    spec: &JournalSpec,
) -> Result<Vec<Stretch>> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut seq = oldest_live;
    for (_, (head, header)) in live {
        if header.seq - seq > spec.files as u64 * 2 {
            let message = format!(
                "journal files number {seq} to {} are missing in {}: put them back or restore the directory",
                header.seq - 1,
                spec.dir.display()
            );
            return Err(Error::new(Code::Corrupt, message));
        }
        while seq < header.seq {
            let first = match stretches.last() {
                Some(before) => before.span.end,
                None => Lsn(header.first.0.saturating_sub((header.seq - seq) * spec.file_bytes)),
            };
            stretches.push(lost(seq, first, spec));
            seq += 1;
        }
        if let Some(before) = stretches.last_mut() {
            seal(before, &header, spec);
        }
        let span = FileSpan { seq, first: header.first, end: header.end_max() };
        stretches.push(Stretch { span, slot: Some(head.slot), header: Some(header), sealed: head.cut });
        seq += 1;
    }
    Ok(stretches)
}

fn lost(seq: u64, first: Lsn, spec: &JournalSpec) -> Stretch {
    let span = FileSpan { seq, first, end: first.plus(spec.file_bytes) };
    Stretch { span, slot: None, header: None, sealed: false }
}

/// What the next file's header says about the file before it.
fn seal(before: &mut Stretch, next: &FileHeader, spec: &JournalSpec) {
    if before.header.is_some_and(|header| header.nonce != next.previous_nonce) {
        // Not the use that the next file followed: an old copy of the file, put back.
        *before = Stretch { slot: before.slot, ..lost(before.span.seq, before.span.first, spec) };
    }
    before.span.end = next.previous_end.max(before.span.first).min(next.first);
    before.sealed = true;
}

/// Files without a header stand in for the lost ones, so that nothing writes over what may be left of them.
fn give_slots(stretches: &mut [Stretch], headless: &mut Vec<Head>) {
    for stretch in stretches.iter_mut().filter(|stretch| stretch.slot.is_none()) {
        if headless.is_empty() {
            return;
        }
        stretch.slot = Some(headless.remove(0).slot);
    }
}

/// A file without a header whose first write claims positions past the newest file's: it was the newest.
fn lost_newest(newest: Option<&FileHeader>, headless: &mut Vec<Head>, spec: &JournalSpec) -> Option<Stretch> {
    let end = newest.map_or(Lsn(0), FileHeader::end_max);
    let follows =
        |head: &Head| head.claim.is_some_and(|claim| claim > end && claim.0 % spec.file_bytes == DATA_START);
    let at = headless.iter().position(follows)?;
    let head = headless.remove(at);
    let first = Lsn(head.claim.expect("it follows").0 - DATA_START);
    let seq = newest.map_or(1, |newest| newest.seq + 1);
    Some(Stretch { slot: Some(head.slot), sealed: true, ..lost(seq, first, spec) })
}
