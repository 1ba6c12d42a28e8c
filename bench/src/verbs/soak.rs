//! `bench soak`: a steady open load for minutes in one round; the far percentiles and the longest stalls with their
//! causes. No limit is claimed: one round proves none.

use super::floor::floors;
use super::node::{OPEN, open};
use crate::args::Common;
use crate::measure::{Part, Sample};
use crate::plan::{Ground, Plan};
use crate::subject::Nodes;
use crate::subject::parts::Press;
use flumen_model::error::Result;
use std::sync::Arc;
use std::time::Duration;

/// A part that runs for its own time, however long the others of its round do.
struct Lasting {
    part: Box<dyn Part>,
    length: Duration,
}

impl Part for Lasting {
    fn name(&self) -> &str {
        self.part.name()
    }

    fn about(&self) -> &str {
        self.part.about()
    }

    fn pids(&self) -> Vec<u32> {
        self.part.pids()
    }

    fn run(&mut self, _: Duration) -> Result<Sample> {
        self.part.run(self.length)
    }
}

/// The plan of `bench soak`.
pub fn plan(
    ground: &Ground,
    common: &Common,
    nodes: &Arc<dyn Nodes>,
    minutes: u32,
    rate: u32,
) -> Result<Plan> {
    let scene = open(ground, common, nodes)?;
    let mut parts = floors(ground);
    let part = scene.produce("soak", OPEN, Press::Rate(f64::from(rate)));
    parts.push(Box::new(Lasting { part, length: Duration::from_secs(60) * minutes }));
    Ok(Plan {
        bench: "soak",
        durability: scene.node.durability(),
        parts,
        result: "soak".to_owned(),
        floor: "floor".to_owned(),
        host_floor: "host_floor".to_owned(),
        limits: Vec::new(),
    })
}
