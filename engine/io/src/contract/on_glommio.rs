//! The contract on the real machine.

use super::{Stage, whole_contract};
use crate::glommio_host::{DsyncMethod, GlommioConfig, GlommioMachine, SPIN_DEDICATED, cpus_allowed};
use std::time::Duration;

/// Cores that spin and use `O_DSYNC`, then cores that park and flush.
fn stages() -> impl Iterator<Item = Stage<GlommioMachine>> {
    let kinds = [(SPIN_DEDICATED, DsyncMethod::ODsync), (Duration::ZERO, DsyncMethod::WriteFlush)];
    kinds.into_iter().map(|(spin, dsync)| {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().to_owned();
        let mut cpus = cpus_allowed().unwrap();
        // On a machine of one CPU both cores share it.
        cpus.push(cpus[0]);
        let machine = GlommioMachine::new(GlommioConfig { cpus, spin, dsync, probe_dir: dir.clone() });
        Stage { machine, dir, keep: Some(keep) }
    })
}

whole_contract!(super::stages);
