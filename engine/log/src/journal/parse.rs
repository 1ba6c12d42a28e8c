//! Parses the bytes of a journal file, block by block: an intact write, or what is left of a damaged one. Pure,
//! and safe on any bytes: nothing is believed before its checksum, and no length reaches past the file.

use flumen_model::Lsn;
use flumen_model::limits::BLOCK_BYTES;
use std::ops::Range;

use super::directory::{self, Owner};
use super::frame::{self, FRAME_ALIGN, FrameKind, HEADER_BYTES, Header};

/// Where a window of bytes stands. Windows begin at blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The position of the window's first byte.
    pub(crate) lsn: Lsn,
    /// Bytes from there to the end of what counts in the file.
    pub(crate) left: u64,
    /// The seed of this use of the file.
    pub(crate) seed: u32,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An intact write of this many bytes; its frames are in [`Found::frames`].
    Write(usize),
    /// A block that begins no intact write; what is left of damaged ones is in [`Found::remains`].
    Broken,
    /// The window must be at least this long to tell.
    More(usize),
}

/// A frame in a window: its header and where its payload is.
pub(crate) type FoundFrame = (Header, Range<usize>);

/// What a step found. Used again for every step.
#[derive(Default)]
pub(crate) struct Found {
    /// The frames of an intact write, without its directory.
    pub(crate) frames: Vec<FoundFrame>,
    /// The write's directory was damaged, though nothing else was.
    pub(crate) directory_damaged: bool,
    /// Headers that survived in a broken block.
    pub(crate) remains: Vec<Remains>,
}

/// A surviving header of a damaged write.
#[derive(Debug)]
pub(crate) struct Remains {
    /// Where the damaged write begins; everything below was durable when it was built.
    pub(crate) write_start: Lsn,
    /// Where it ends.
    pub(crate) write_end: Lsn,
    /// Its directory, when this is it.
    pub(crate) directory: Option<Vec<Owner>>,
}

/// Looks at the front of a window.
pub(crate) fn step(window: &[u8], place: Place, found: &mut Found) -> Step {
    found.frames.clear();
    found.remains.clear();
    match write(window, place, found) {
        Attempt::Whole(bytes) => Step::Write(bytes),
        Attempt::More(bytes) => Step::More(bytes),
        Attempt::No => block(window, place, found),
    }
}

enum Attempt {
    Whole(usize),
    More(usize),
    No,
}

/// The write that begins with the window, if it is whole: every frame, up to its directory.
fn write(window: &[u8], place: Place, found: &mut Found) -> Attempt {
    if window.len() < HEADER_BYTES && (window.len() as u64) < place.left {
        return Attempt::More(HEADER_BYTES);
    }
    let Some(first) = frame::decode_header(window, place.lsn, place.seed) else { return Attempt::No };
    let bytes = first.group_end_ahead as usize;
    if first.durable_back != 0 || !bytes.is_multiple_of(BLOCK_BYTES) || bytes as u64 > place.left {
        return Attempt::No;
    }
    match window.get(..bytes) {
        None => Attempt::More(bytes),
        Some(write) => match frames(write, place, found) {
            Some(()) => Attempt::Whole(bytes),
            None => Attempt::No,
        },
    }
}

/// Walks the frames of a write up to its directory; `None` when one of them is damaged.
fn frames(write: &[u8], place: Place, found: &mut Found) -> Option<()> {
    let end = place.lsn.plus(write.len() as u64);
    let mut at = 0;
    loop {
        let header = frame::decode_header(write.get(at..)?, place.lsn.plus(at as u64), place.seed)?;
        if (header.write_start(), header.write_end()) != (place.lsn, end) {
            return None;
        }
        let range = at + HEADER_BYTES..at + HEADER_BYTES + header.payload_len as usize;
        let payload = write.get(range.clone())?;
        let owned = header.owns(payload, place.seed);
        if header.kind() == FrameKind::Directory {
            // The walk came to the directory, so every frame before it is there and whole. A directory whose
            // own payload is damaged takes nothing from that.
            found.directory_damaged = !owned;
            let counted =
                directory::decode(payload).is_some_and(|(_, count)| count as usize == found.frames.len());
            return (counted || !owned).then_some(());
        }
        if !owned {
            return None;
        }
        found.frames.push((header, range));
        at += header.total_bytes();
    }
}

/// What survives in the block at the front of the window: headers at any frame boundary.
fn block(window: &[u8], place: Place, found: &mut Found) -> Step {
    found.frames.clear();
    // A header that begins in the block may end behind it.
    let wanted = place.left.min((BLOCK_BYTES + HEADER_BYTES) as u64) as usize;
    if window.len() < wanted {
        return Step::More(wanted);
    }
    for at in (0..BLOCK_BYTES.min(wanted)).step_by(FRAME_ALIGN) {
        let (rest, lsn) = (&window[at..], place.lsn.plus(at as u64));
        if !frame::may_begin(rest, lsn) {
            continue;
        }
        let Some(header) = frame::decode_header(rest, lsn, place.seed) else { continue };
        match remains(rest, &header, place.left - at as u64, place.seed) {
            Ok(remains) => found.remains.push(remains),
            Err(bytes) => return Step::More(at + bytes),
        }
    }
    Step::Broken
}

/// What a surviving header tells, or how many bytes from it are needed to read its directory.
fn remains(bytes: &[u8], header: &Header, left: u64, seed: u32) -> Result<Remains, usize> {
    let mut directory = None;
    if header.kind() == FrameKind::Directory {
        let end = HEADER_BYTES + header.payload_len as usize;
        if end as u64 <= left {
            let payload = bytes.get(HEADER_BYTES..end).ok_or(end)?;
            if header.owns(payload, seed) {
                directory = directory::decode(payload).map(|(rows, _)| rows);
            }
        }
    }
    Ok(Remains { write_start: header.write_start(), write_end: header.write_end(), directory })
}
