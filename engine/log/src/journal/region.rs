//! A stretch of a journal that is not intact, while it is being scanned: the traces of the writes that were
//! there, and who owned them. Pure. It names owners only from a write's own directory.

use flumen_model::Lsn;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::directory::Owner;
use super::parse::Remains;
use super::report::{Damage, DamageOwners, Torn};

/// A stretch that is not intact. Where it ends is known later.
pub(crate) struct Region {
    file: PathBuf,
    /// Where in the file it begins.
    position: u64,
    from: Lsn,
    /// Traces of writes, by where they begin.
    writes: BTreeMap<Lsn, Traces>,
    /// The number of a whole file that is lost in it.
    lost_file: Option<u64>,
}

struct Traces {
    end: Lsn,
    directory: Option<Vec<Owner>>,
}

impl Region {
    /// A region that begins here.
    pub(crate) fn new(file: PathBuf, position: u64, from: Lsn) -> Region {
        Region { file, position, from, writes: BTreeMap::new(), lost_file: None }
    }

    /// Where it begins.
    pub(crate) fn from(&self) -> Lsn {
        self.from
    }

    /// A whole file is lost in it.
    pub(crate) fn lose_file(&mut self, seq: u64) {
        self.lost_file.get_or_insert(seq);
    }

    /// Takes a surviving header. One that reaches outside the region is not believed.
    pub(crate) fn add(&mut self, remains: Remains) {
        if remains.write_start < self.from || remains.write_end <= remains.write_start {
            return;
        }
        let traces = self
            .writes
            .entry(remains.write_start)
            .or_insert(Traces { end: remains.write_end, directory: None });
        if remains.directory.is_some() {
            traces.directory = remains.directory;
        }
    }

    /// The first write with traces that begins at or after `from`: was cut off when nothing says otherwise.
    pub(crate) fn torn(&self, from: Lsn) -> Option<Torn> {
        let (&start, traces) = self.writes.range(from..).next()?;
        Some(Torn { file: self.file.clone(), position: self.position_of(start), from: start, to: traces.end })
    }

    /// The region up to `to` as damage: one piece for each write whose directory survived, and pieces of
    /// unknown owners between.
    pub(crate) fn damage(&self, to: Lsn) -> Vec<Damage> {
        let mut pieces = Vec::new();
        let mut cursor = self.from;
        for (&start, traces) in self.writes.range(..to) {
            let Some(owners) = &traces.directory else { continue };
            let end = traces.end.min(to);
            if start < cursor || end <= start {
                continue;
            }
            pieces.extend(self.unknown(cursor, start));
            pieces.push(self.piece(start, end, DamageOwners::Known(owners.clone())));
            cursor = end;
        }
        pieces.extend(self.unknown(cursor, to));
        pieces
    }

    fn unknown(&self, from: Lsn, to: Lsn) -> Option<Damage> {
        (from < to).then(|| self.piece(from, to, DamageOwners::Unknown))
    }

    fn piece(&self, from: Lsn, to: Lsn, groups: DamageOwners) -> Damage {
        let position = self.position_of(from);
        let whose = match &groups {
            DamageOwners::Known(owners) => format!("{} groups lost frames in it", owners.len()),
            DamageOwners::Unknown => "whose frames it held cannot be told".to_string(),
        };
        let place = match self.lost_file {
            Some(seq) => format!(
                "the journal file with number {seq} is missing or both copies of its header are damaged"
            ),
            None => format!("acked data in {} is damaged from byte {position}", self.file.display()),
        };
        let what = format!("{place}: {} bytes, journal positions {from} to {to}; {whose}", to.0 - from.0);
        Damage { file: self.file.clone(), position, from, to, what, groups }
    }

    fn position_of(&self, lsn: Lsn) -> u64 {
        self.position + (lsn.0 - self.from.0)
    }
}
