//! Reading everything that is stored and checking all of it: every index block, every chunk, every batch, the
//! order of the offsets. For `check` and the scrubber, and for a closer look at a segment that a read found
//! damaged. Reports and goes on behind each damage; never writes and never serves.

use super::budget::ReadBudget;
use super::segments::Segments;
use super::view::View;
use super::walk::Walk;
use flumen_io::Host;
use flumen_model::Offset;
use std::path::PathBuf;
use std::time::Duration;

/// Damage in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDamage {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes: a chunk's start, a batch's start, or the exact place.
    pub position: u64,
    /// The first offset that may be hit.
    pub from: Offset,
    /// It is in the index, which the batches can make anew.
    pub in_index: bool,
    /// What is wrong.
    pub what: String,
}

/// Whoever wants to know what a check finds.
pub trait Visitor {
    /// Something is damaged.
    fn damaged(&mut self, damage: SegmentDamage);

    /// The damage just reported takes the offsets from `from` up to the exclusive `to`: they cannot be served, and
    /// a repair would give them up.
    fn lost(&mut self, _from: Offset, _to: Offset) {}

    /// Offsets from `from` up to the exclusive `to` are not stored: an accepted loss, or one to ask about.
    fn gap(&mut self, _from: Offset, _to: Offset) {}

    /// So many bytes were read; the check waits so long before it goes on.
    fn read(&mut self, _bytes: usize) -> Duration {
        Duration::ZERO
    }
}

/// A damaged place that keeps stored records from being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rot {
    /// The first offset that cannot be served.
    pub from: Offset,
    /// One of the damaged places.
    pub damage: SegmentDamage,
}

/// Damages and losses of one segment, kept.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) damages: Vec<SegmentDamage>,
    pub(super) lost: Vec<(u64, u64)>,
}

impl Visitor for Findings {
    fn damaged(&mut self, damage: SegmentDamage) {
        self.damages.push(damage);
    }

    fn lost(&mut self, from: Offset, to: Offset) {
        self.lost.push((from.0, to.0));
    }
}

impl Findings {
    /// Something is wrong with the index.
    pub(super) fn in_index(&self) -> bool {
        self.damages.iter().any(|damage| damage.in_index)
    }
}

impl<H: Host> Segments<H> {
    /// Checks everything that is stored as of now. Only a segment that is trimmed meanwhile is left out.
    pub async fn verify(&self, host: &H, budget: &ReadBudget, visitor: &mut impl Visitor) {
        self.verify_from(host, budget, Offset(0), visitor).await;
    }

    /// Like [`Segments::verify`], without the segments that lie wholly below a log start: a crash may have come
    /// between their deletion and the checkpoint that forgets them.
    pub async fn verify_from(
        &self,
        host: &H,
        budget: &ReadBudget,
        log_start: Offset,
        visitor: &mut impl Visitor,
    ) {
        let mut next_offset = None;
        for view in self.views() {
            if self.inner().floor.max(log_start.0) >= view.end_offset() {
                continue;
            }
            let base_offset = view.base_offset();
            if let Some(expected) = next_offset.filter(|&expected| expected < base_offset) {
                visitor.gap(Offset(expected), Offset(base_offset));
            }
            next_offset = Some(view.end_offset());
            Walk::new(self, host, budget, view, visitor).run().await;
        }
    }

    /// Looks at the segments whose reads failed since the last look, as a whole: a read that failed only then is
    /// no damage. None when every offset from `log_start` on can be served.
    pub async fn find_rot(&self, host: &H, budget: &ReadBudget, log_start: Offset) -> Option<Rot> {
        let suspects = std::mem::take(&mut self.inner_mut().suspects);
        let views: Vec<View> =
            self.views().into_iter().filter(|view| suspects.contains(&view.base_offset())).collect();
        for view in views {
            let base_offset = view.base_offset();
            let mut findings = Findings::default();
            Walk::new(self, host, budget, view, &mut findings).run().await;
            let lost = findings.lost.iter().find(|&&(_, to)| to > log_start.0);
            // With an index that the batches cannot make anew, nothing of the segment is found.
            let from = lost.map(|&(from, _)| if findings.in_index() { base_offset } else { from });
            if let Some(from) = from {
                let damage = findings.damages.into_iter().find(|damage| !damage.in_index);
                let damage = damage.expect("a loss is reported with its damage");
                return Some(Rot { from: Offset(from.max(log_start.0)), damage });
            }
        }
        None
    }

    /// All segments as of now, oldest first.
    pub(super) fn views(&self) -> Vec<View> {
        let inner = self.inner();
        let sealed = inner.sealed.iter().copied().map(View::Sealed);
        sealed.chain(inner.active.iter().cloned().map(View::Active)).collect()
    }

    /// The segment of this base offset as of now.
    pub(super) fn view_of(&self, base_offset: u64) -> Option<View> {
        self.views().into_iter().find(|view| view.base_offset() == base_offset)
    }
}
