//! Restart: a node with a full journal is killed with -9 and started again; the time until it acks is measured.
//! Each part keeps its own directory from round to round; nothing but the start may be in the measured time.

use super::parts::Scene;
use super::{Load, Node, Nodes, Start};
use crate::drive::run_count;
use crate::floor::Stage;
use crate::measure::{Part, Sample};
use flumen_model::error::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is stored before the first round, and what fills the journal before each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The load that stores and fills.
    pub load: Load,
    /// Payload bytes stored before the first round. The journal is filled with more before each kill; the load's
    /// topic should not keep that.
    pub stored_bytes: u64,
}

/// Restarts of one directory.
pub struct Restart {
    stage: Arc<Stage>,
    nodes: Arc<dyn Nodes>,
    name: &'static str,
    about: String,
    stored: Stored,
    prepared: bool,
}

impl Restart {
    /// A part with a directory of its own.
    pub fn new(stage: &Arc<Stage>, nodes: &Arc<dyn Nodes>, name: &'static str, stored: Stored) -> Restart {
        let about = format!(
            "kill -9 and start: {} MB stored, {} partitions, the journal all round before; until all answer and one acks",
            stored.stored_bytes / 1_000_000,
            stored.load.partitions
        );
        Restart { stage: stage.clone(), nodes: nodes.clone(), name, about, stored, prepared: false }
    }

    fn open(&self) -> Result<Arc<dyn Node>> {
        let dir = self.stage.path().join(self.name);
        let start = Start { server: None, dir, cpu: self.stage.pins.server };
        self.nodes.open(&start).map(Arc::from)
    }

    /// Stores what is to be stored, fills the journal and kills the node.
    fn prepare(&mut self) -> Result<()> {
        let node = self.open()?;
        let scene = Scene { stage: self.stage.clone(), node: node.clone() };
        let load = &self.stored.load;
        let once = if self.prepared { 0 } else { self.stored.stored_bytes };
        let filled = scene.fill(load, once).and_then(|()| scene.turn_journal(load, 1.0));
        self.prepared = true;
        node.kill()?;
        filled
    }
}

impl Part for Restart {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn run(&mut self, _: Duration) -> Result<Sample> {
        self.prepare()?;
        self.stage.counted(&[], || {
            let began = Instant::now();
            let node = self.open()?;
            let acked =
                node.producer(&self.stored.load).and_then(|mut target| run_count(target.as_mut(), 1, 1));
            let elapsed = began.elapsed();
            node.kill()?;
            acked?;
            let mut sample = Sample { records: 1, elapsed, ..Sample::default() };
            sample.latencies.record(elapsed);
            Ok(sample)
        })
    }
}

#[cfg(test)]
#[path = "restart_tests.rs"]
mod tests;
