//! Recovery of a whole shard from damaged files. The input is a list of edits; they are made on a directory that is
//! always the same, and the recovery is held against what was written: nothing else is ever shown, and after one
//! edit nothing is lost in silence.

mod base;

use crate::targets::log::on_core;
use base::{Base, NoMachine};
use bytes::Bytes;
use flumen_io::mem::MemHost;
use flumen_log::recovery::Traces;
use flumen_log::segment::ReadBudget;
use flumen_log::{GroupLog, recovery as log_recovery};
use flumen_model::GroupId;
use flumen_model::batch::Batches;
use flumen_model::limits::BLOCK_BYTES;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes of one edit: file `u8`, mask `u8`, run `u16`, position `u32`, little-endian.
pub const EDIT_BYTES: usize = 8;
/// More edits than these are not made.
const EDITS_MAX: usize = 16;

thread_local! {
    static BASE: Base = base::written();
}

/// The files that can be damaged, with their sizes; an edit's file is a place in this list.
pub fn files() -> Vec<(PathBuf, u64)> {
    BASE.with(|base| base.files.clone())
}

/// Flips the bits of `mask` in some bytes of one block.
struct Edit {
    path: PathBuf,
    from: u64,
    to: u64,
    mask: u8,
}

impl Edit {
    fn read(bytes: &[u8], files: &[(PathBuf, u64)]) -> Edit {
        let (path, size) = &files[usize::from(bytes[0]) % files.len()];
        let run = u64::from(u16::from_le_bytes([bytes[2], bytes[3]])) % BLOCK_BYTES as u64;
        let from = u64::from(u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])) % size;
        // One edit never reaches into a second block: a device breaks one at a time.
        let block_end = (from + 1).next_multiple_of(BLOCK_BYTES as u64).min(*size);
        Edit { path: path.clone(), from, to: (from + run + 1).min(block_end), mask: bytes[1].max(1) }
    }

    /// Makes the edit, or takes it back: twice is nothing.
    fn apply(&self, base: &Base) {
        for position in self.from..self.to {
            base.world.corrupt(&self.path, position, self.mask).expect("the file is there");
        }
    }
}

/// What recovery showed of one group.
struct Shown {
    batches: Vec<Bytes>,
    /// It said that something is missing.
    admits: bool,
}

/// What recovery showed at all; `None` when it refused the directory with a clear error.
type Outcome = Option<(BTreeMap<GroupId, Shown>, Traces, bool)>;

pub(super) fn recovery(data: &[u8]) {
    BASE.with(|base| {
        let edits: Vec<_> =
            data.chunks_exact(EDIT_BYTES).take(EDITS_MAX).map(|edit| Edit::read(edit, &base.files)).collect();
        edits.iter().for_each(|edit| edit.apply(base));
        let spec = base.spec.clone();
        let outcome = on_core(&base.world, |host| async move {
            let found = log_recovery::inspect(&host, spec, &mut NoMachine).await.ok()?;
            let mut groups = BTreeMap::new();
            for log in found.groups {
                let shown = read_all(&host, &log).await;
                groups.insert(log.group(), shown);
            }
            Some((groups, found.traces, !found.report.damage.is_empty()))
        });
        edits.iter().rev().for_each(|edit| edit.apply(base));
        judge(base, &outcome, edits.len());
    });
}

async fn read_all(host: &MemHost, log: &Rc<GroupLog<MemHost>>) -> Shown {
    let budget = ReadBudget::new(1 << 20, 128 * 1024);
    let mut shown = Shown { batches: Vec::new(), admits: log.damaged().is_some() };
    let Some(segments) = log.segments() else { return shown };
    let (mut from, end) = (log.log_start(), log.high_watermark());
    while from < end {
        match segments.read(host, &budget, from, end, 1 << 20).await {
            Ok(runs) if runs.is_empty() => break,
            Ok(runs) => {
                for run in runs {
                    for batch in Batches::new(&run) {
                        from = batch.next_offset();
                        shown.batches.push(Bytes::copy_from_slice(batch.bytes()));
                    }
                }
            }
            Err(_) => {
                shown.admits = true;
                break;
            }
        }
    }
    shown
}

fn judge(base: &Base, outcome: &Outcome, edits: usize) {
    let Some((groups, traces, damage)) = outcome else {
        assert!(edits > 0, "an unharmed directory is recovered");
        return;
    };
    for (group, written) in &base.written {
        let shown = groups.get(group).map_or(&[][..], |shown| &shown.batches);
        assert!(
            shown.iter().all(|batch| written.contains(batch)),
            "group {group} shows what was never written"
        );
        assert!(
            shown.is_sorted_by_key(|batch| written.iter().position(|one| one == batch)),
            "in order, each once"
        );
        let shows = groups.get(group).map_or(traces.lost(*group).is_some(), |shown| shown.admits);
        let admits = *damage || shows;
        // One broken block is always noticed; several may look like a write that a crash tore.
        let whole = shown == written.as_slice();
        assert!(whole || (edits == 1 && admits) || edits > 1, "group {group} lost acked records in silence");
    }
    assert!(
        groups.keys().all(|group| base.written.contains_key(group) || edits > 0),
        "no group from nowhere"
    );
}
