//! `bench load`: the most that a node takes, held against the pipelined host floor, the loopback and the raw disk of
//! the same rounds; and many partitions against one.

use super::floor::floors;
use super::node::{OPEN, RECORD_BYTES, SINGLE, open, open_as, pipelined_floor};
use crate::args::Common;
use crate::floor::disk::Disk;
use crate::floor::loopback::Loopback;
use crate::limit::{Base, Limit};
use crate::measure::figures::Figure;
use crate::plan::{Ground, Plan};
use crate::subject::parts::Press;
use crate::subject::{Load, Nodes, Until};
use flumen_model::error::Result;
use std::sync::Arc;

/// Appends a second over one and over many partitions.
const PARTITIONS_RATE: f64 = 10_000.0;
/// Records a second that batches must bring to a subscriber.
const BATCHES_RECORDS: f64 = 1_500_000.0;

const SINGLES: Load = Load { topic: "bench-singles", in_flight: 256, ..SINGLE };
const BATCHES: Load = Load {
    topic: "bench-batches",
    partitions: 1,
    records: 16,
    record_bytes: RECORD_BYTES,
    in_flight: 512,
    until: Until::Delivered,
    keep_bytes: None,
};
/// One record that fills a batch of 1 MiB, the header left over.
const LARGE: Load = Load {
    topic: "bench-large",
    partitions: 1,
    records: 1,
    record_bytes: (1 << 20) - 1024,
    in_flight: 8,
    until: Until::Acked,
    keep_bytes: None,
};
const MANY: Load = Load { topic: "bench-many", partitions: 1_000, ..OPEN };

/// The plan of `bench load`.
pub fn plan(ground: &Ground, common: &Common, nodes: &Arc<dyn Nodes>) -> Result<Plan> {
    let scene = open(ground, common, nodes)?;
    // A thousand partitions are checkpointed once a turn, which the fast loads would pay for.
    let many = open_as("many", ground, common, nodes)?;
    let mut parts = floors(ground);
    parts.push(pipelined_floor(ground));
    parts.push(Box::new(Disk::writes(&ground.stage)));
    parts.push(Box::new(Loopback::bandwidth(&ground.stage)));
    parts.push(scene.produce("singles", SINGLES, Press::Window));
    parts.push(scene.produce("batches", BATCHES, Press::Window));
    parts.push(scene.produce("large", LARGE, Press::Window));
    parts.push(many.produce("partitions_1", OPEN, Press::Rate(PARTITIONS_RATE)));
    parts.push(many.produce("partitions_1000", MANY, Press::Rate(PARTITIONS_RATE)));
    Ok(Plan {
        bench: "load",
        durability: scene.node.durability(),
        parts,
        result: "singles".to_owned(),
        floor: "floor".to_owned(),
        host_floor: "host_floor".to_owned(),
        limits: limits(),
    })
}

fn limits() -> Vec<Limit> {
    let bandwidth = vec![Base::Part("loopback"), Base::PartByAmplification("write_1m")];
    vec![
        Limit::at_least("singles", Figure::Records, 0.5, vec![Base::Part("host_floor_pipelined")]),
        Limit::at_least("batches", Figure::Records, BATCHES_RECORDS, vec![Base::One]),
        Limit::at_least("large", Figure::Bytes, 0.7, bandwidth),
        Limit::at_most("partitions_1000", Figure::P50, 1.5, "partitions_1"),
        Limit::at_most("partitions_1000", Figure::P99, 1.5, "partitions_1"),
    ]
}
