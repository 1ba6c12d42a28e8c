//! What a scan of the journal reports: the intact writes as it meets them, and in the end what is torn, what is
//! damaged and who owned it. Values only.

use flumen_model::{Lsn, Result};
use std::future::Future;
use std::path::PathBuf;

use super::directory::Owner;
use super::frame::Frame;

/// Is shown what a scan meets, in the order of positions.
pub trait ScanVisitor {
    /// The groups that follow are in this live file. Where the newest ends is not known yet: its span has the
    /// end of the file.
    fn file(&mut self, span: FileSpan) {
        let _ = span;
    }

    /// An intact write at `start`, without the journal's own frames; nothing is left of one that held only
    /// those. Each write was one atomic unit; what one append brought lies in one write.
    fn group(&mut self, start: Lsn, frames: &[ScannedFrame]);

    /// Damage between the writes before and those to come.
    fn lost(&mut self, damage: &Damage);

    /// Called after every write that was shown, for what must wait. An error ends the scan.
    fn after_group(&mut self) -> impl Future<Output = Result<()>> {
        std::future::ready(Ok(()))
    }
}

/// A frame and where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedFrame {
    /// Position of the frame.
    pub lsn: Lsn,
    /// The frame; its payload shares the read buffer.
    pub frame: Frame,
}

/// A live file's number and positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// The number of this use of a file.
    pub seq: u64,
    /// Its first position.
    pub first: Lsn,
    /// The end of what was written to it.
    pub end: Lsn,
}

/// What stands in a file of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Writes that may still be needed.
    Live,
    /// Writes that may still be needed were here, but the file or both copies of its header are lost.
    Lost,
    /// Nothing that is needed.
    Free,
}

/// A file of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its place in the ring; `None` for a lost file that no file can be told to be.
    pub slot: Option<usize>,
    /// What stands in it.
    pub state: FileState,
    /// Number and positions of a live or lost file.
    pub span: FileSpan,
    /// The nonce of a live file.
    pub(crate) nonce: [u8; 16],
    /// Where the file before ended.
    pub(crate) previous: ([u8; 16], Lsn),
    /// It holds nothing but marks, so that it may be begun again.
    pub(crate) only_marks: bool,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanReport {
    /// The end of everything that counts: of the last intact write or of damage behind it.
    pub end: Lsn,
    /// The highest position known to have been durable: from valid frames and from file headers.
    pub durable: Lsn,
    /// The files: live and lost ones in the order of their numbers, then free ones.
    pub files: Vec<FileInfo>,
    /// The write that a crash cut off, if one left traces. It was never acked and is dropped.
    pub torn: Option<Torn>,
    /// Acked data that is damaged, by position.
    pub damage: Vec<Damage>,
    /// Intact writes.
    pub groups: u64,
    /// Frames in them, marks and directories left out.
    pub frames: u64,
    /// Bytes of them, padding included.
    pub bytes: u64,
    /// Intact writes whose directory was damaged: nothing is lost.
    pub directories_damaged: u64,
}

/// The write that a crash cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// Where in the file it begins.
    pub position: u64,
    /// Where it begins.
    pub from: Lsn,
    /// Where it would have ended.
    pub to: Lsn,
}

/// A stretch of acked writes that cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file it begins.
    pub position: u64,
    /// Where it begins.
    pub from: Lsn,
    /// Where it ends.
    pub to: Lsn,
    /// One sentence for a person.
    pub what: String,
    /// Who lost something.
    pub groups: DamageOwners,
}

/// Whose frames were in a damaged stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageOwners {
    /// The write's directory survived: these groups, and nobody else.
    Known(Vec<Owner>),
    /// Every group of the shard that is not proven whole by what follows.
    Unknown,
}
