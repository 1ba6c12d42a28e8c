//! The contract on the simulated machine, with several seeds for each promise.

use super::{Stage, whole_contract};
use crate::mem::{MemMachine, MemWorld};
use std::path::PathBuf;

const SEEDS: u64 = 8;

fn stages() -> impl Iterator<Item = Stage<MemMachine>> {
    (0..SEEDS).map(|seed| {
        let machine = MemMachine::new(MemWorld::new(), seed).poll_budget(20_000_000);
        Stage { machine, dir: PathBuf::from("/"), keep: None }
    })
}

whole_contract!(super::stages);
