//! Power loss, for one file: which versions of its sectors that are not durable the device turns out to have.
//! Knows no names; the shape of the loss is the same for every file of a disk.

use super::{Content, LOST, PAGE_BYTES, SECTOR_BYTES, Versions};
use crate::mem::rng::Rng;
use std::collections::BTreeSet;

/// What a power loss keeps of the writes that are not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mem) enum Shape {
    /// Each sector by its own chance, in any of its versions.
    EachSector,
    /// Each write as a whole, by a chance that comes from this number and the write's.
    WholeWrites(u64),
    /// Every write up to this number, none after it.
    UpTo(u64),
    /// Everything.
    Everything,
    /// Nothing.
    Nothing,
}

impl Shape {
    /// Draws a shape; `last` is the number of the last write.
    pub(in crate::mem) fn draw(rng: &mut Rng, last: u64) -> Shape {
        match rng.below(6) {
            0 | 1 => Shape::EachSector,
            2 => Shape::WholeWrites(rng.next()),
            3 => Shape::UpTo(rng.below(last + 1)),
            4 => Shape::Everything,
            _ => Shape::Nothing,
        }
    }

    /// Which of a sector's versions is kept; past the last is none of them.
    fn choose(self, versions: &Versions, rng: &mut Rng) -> usize {
        let len = versions.len();
        let last_kept = |kept: &dyn Fn(u64) -> bool| {
            versions.iter().rposition(|(number, _)| *number != LOST && kept(*number)).unwrap_or(len)
        };
        match self {
            Shape::EachSector => rng.below(len as u64 + 1) as usize,
            Shape::WholeWrites(salt) => last_kept(&|number| Rng::new(salt, number).coin()),
            Shape::UpTo(last) => last_kept(&|number| number <= last),
            Shape::Everything => len - 1,
            Shape::Nothing => len,
        }
    }

    /// Whether a change of the size is kept.
    fn keeps_size(self, rng: &mut Rng) -> bool {
        match self {
            Shape::Everything => true,
            Shape::Nothing => false,
            _ => rng.coin(),
        }
    }
}

/// What a power loss did to one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::mem) struct Loss {
    /// Writes of which some sectors were kept and others lost.
    pub(in crate::mem) torn: u64,
    /// Whether a later write was kept while an earlier one was lost.
    pub(in crate::mem) reordered: bool,
    /// Sectors that came back in a version that was not the last.
    pub(in crate::mem) old_versions: u64,
}

#[derive(Default)]
struct Tally {
    kept: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    old_versions: u64,
}

impl Tally {
    fn add(&mut self, versions: &Versions, choice: usize) {
        let number = |(number, _): &(u64, _)| *number;
        let lost_from = if choice < versions.len() { choice + 1 } else { 0 };
        self.kept.extend(versions.get(choice).map(number));
        self.lost.extend(versions[lost_from..].iter().map(number));
        self.old_versions += u64::from(choice + 1 < versions.len());
    }

    fn loss(&self) -> Loss {
        let reordered = match (self.kept.last(), self.lost.first()) {
            (Some(kept), Some(lost)) => *kept != LOST && kept > lost,
            _ => false,
        };
        Loss {
            torn: self.kept.intersection(&self.lost).filter(|number| **number != LOST).count() as u64,
            reordered,
            old_versions: self.old_versions,
        }
    }
}

impl Content {
    /// Power loss: what is not durable is kept or lost by the shape; so are a growth and a cut of the size, and
    /// with a lost cut everything written behind it.
    pub(in crate::mem) fn crash(&mut self, rng: &mut Rng, shape: Shape) -> Loss {
        self.abandon_flushes();
        if let Some(cut) = self.cut_to {
            if shape.keeps_size(rng) {
                self.commit_cut();
            } else {
                self.cut_to = None;
                drop(self.volatile.split_off(&(cut / SECTOR_BYTES as u64)));
                self.live_size = self.durable_size;
            }
        }
        let mut tally = Tally::default();
        for (sector, versions) in std::mem::take(&mut self.volatile) {
            let choice = shape.choose(&versions, rng);
            tally.add(&versions, choice);
            if let Some((_, piece)) = versions.get(choice) {
                self.write_durable(sector, piece.data());
            }
        }
        let size = if shape.keeps_size(rng) { self.live_size } else { self.durable_size };
        self.live_size = size;
        self.durable_size = size;
        drop(self.durable.split_off(&size.div_ceil(PAGE_BYTES as u64)));
        self.give_space_from(size);
        tally.loss()
    }
}
