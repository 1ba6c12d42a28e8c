//! Mending what the batches can mend, and giving up what they cannot. An index is made anew as soon as a read finds
//! it damaged; stored records are given up only in [`Segments::repair`], when an operator has said so. Never writes
//! to a file of batches, but to seal an active segment.

use super::budget::ReadBudget;
use super::files::{Checked, Fault, FileKind};
use super::patch::Patch;
use super::segments::Segments;
use super::verify::Findings;
use super::view::View;
use super::walk::Walk;
use flumen_io::Host;
use flumen_model::{Code, Error, Offset, Result};
use std::path::PathBuf;

/// What a repair did to one partition's segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Offsets that were given up, as half-open ranges: their bytes are damaged.
    pub lost: Vec<(Offset, Offset)>,
    /// Index files that were made anew from the batches: no record was lost with them.
    pub indexes: Vec<PathBuf>,
}

impl Repaired {
    /// Nothing was damaged.
    pub fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.indexes.is_empty()
    }
}

impl<H: Host> Segments<H> {
    /// After a read has failed on a segment's index: makes it anew when all batches are intact, so that the read
    /// can be tried again. An active segment is sealed for it. Else gives back what is wrong.
    pub(super) async fn mend(&self, host: &H, budget: &ReadBudget, view: &View, fault: Fault) -> Checked<()> {
        let base_offset = view.base_offset();
        let path = self.path(base_offset, FileKind::Index);
        if fault.file != path {
            return Err(fault);
        }
        let _turn = self.turn.enter(1).await;
        let Some(view) = self.view_of(base_offset).filter(|_| self.may_write()) else { return Err(fault) };
        let (findings, patch) = self.walked(host, budget, view).await;
        if let Some(damage) = findings.damages.iter().find(|damage| !damage.in_index) {
            return Err(Fault::new(&damage.file, damage.position, &damage.what));
        }
        if findings.damages.is_empty() {
            // Somebody else has mended it meanwhile.
            return Ok(());
        }
        if !patch.is_own {
            return Err(fault);
        }
        tracing::warn!(path = %path.display(), what = fault.what, "the index is made anew from the batches");
        let failed = |error: Error| Fault::new(&path, fault.position, error.message);
        self.make_index(host, budget, base_offset).await.map_err(failed)
    }

    /// Makes the indexes anew that are damaged and gives up the records that are: the offsets that
    /// [`super::Visitor::lost`] names. From then on reads leave them out. Durable with the next checkpoint.
    ///
    /// # Errors
    /// What the disk says; what was done until then stays and is right.
    pub async fn repair(&self, host: &H, budget: &ReadBudget, log_start: Offset) -> Result<Repaired> {
        let _turn = self.turn.enter(1).await;
        self.check_failed()?;
        let mut repaired = Repaired::default();
        for view in self.views().into_iter().filter(|_| self.may_write()) {
            let base_offset = view.base_offset();
            if self.inner().floor.max(log_start.0) >= view.end_offset() {
                continue;
            }
            let is_active = !view.is_sealed();
            let (mut findings, _) = self.walked(host, budget, view).await;
            if findings.damages.is_empty() {
                continue;
            }
            if findings.in_index() || is_active {
                self.make_index(host, budget, base_offset).await?;
                repaired.indexes.extend(findings.in_index().then(|| self.path(base_offset, FileKind::Index)));
                let view = self.view_of(base_offset).expect("nothing is trimmed while the turn is taken");
                findings = self.walked(host, budget, view).await.0;
            }
            for (from, to) in findings.lost {
                self.inner_mut().give_up(from, to);
                repaired.lost.push((Offset(from), Offset(to)));
            }
        }
        Ok(repaired)
    }

    /// Writes a segment's index from its intact entries and its batches; an active one is sealed first.
    async fn make_index(&self, host: &H, budget: &ReadBudget, base_offset: u64) -> Result<()> {
        let find = || self.view_of(base_offset).expect("nothing is trimmed while the turn is taken");
        if !find().is_sealed() {
            self.seal_active(host).await?;
        }
        let view = find();
        let (findings, patch) = self.walked(host, budget, view.clone()).await;
        let View::Sealed(segment) = view else { unreachable!("it was sealed") };
        if !findings.in_index() {
            return Ok(());
        }
        self.write_patched(host, &segment, &patch)
            .await
            .map_err(|fault| Error::new(Code::LogFailed, format!("{}: {}", fault.file.display(), fault.what)))
    }

    async fn walked(&self, host: &H, budget: &ReadBudget, view: View) -> (Findings, Patch) {
        let mut findings = Findings::default();
        let patch = Walk::new(self, host, budget, view, &mut findings).run().await;
        (findings, patch)
    }

    fn may_write(&self) -> bool {
        let inner = self.inner();
        !inner.retired && !inner.failed
    }
}
