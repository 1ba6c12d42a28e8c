//! `bench read`: catching up from segments against raw reads and the loopback, producers beside a reader against
//! producers alone, delivery at the tail against the ack.

use super::floor::floors;
use super::node::{OPEN, RECORD_BYTES, SINGLE, open};
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

/// Stored before the first round: several times what caches and journals hold, so that reads come from segments.
const STORED_BYTES: u64 = 2 << 30;
/// Appends a second, alone and beside a reader.
const RATE: f64 = 1_000.0;

const STORED: Load = Load {
    topic: "bench-stored",
    partitions: 1,
    records: 256,
    record_bytes: RECORD_BYTES,
    in_flight: 64,
    until: Until::Acked,
    keep_bytes: None,
};
const TAIL: Load = Load { topic: "bench-tail", until: Until::Delivered, ..SINGLE };

/// The plan of `bench read`; stores what is to be read.
pub fn plan(ground: &Ground, common: &Common, nodes: &Arc<dyn Nodes>) -> Result<Plan> {
    let scene = open(ground, common, nodes)?;
    scene.fill(&STORED, STORED_BYTES)?;
    let mut parts = floors(ground);
    parts.push(Box::new(Disk::reads(&ground.stage)));
    parts.push(Box::new(Loopback::bandwidth(&ground.stage)));
    parts.push(scene.produce("ack", SINGLE, Press::Window));
    parts.push(scene.produce("delivery", TAIL, Press::Window));
    parts.push(scene.catch_up("catch_up", STORED.topic));
    parts.push(scene.produce("produce_alone", OPEN, Press::Rate(RATE)));
    parts.push(scene.produce("produce_beside", OPEN, Press::RateBesideReader(RATE, STORED.topic)));
    Ok(Plan {
        bench: "read",
        durability: scene.node.durability(),
        parts,
        result: "delivery".to_owned(),
        floor: "floor".to_owned(),
        host_floor: "host_floor".to_owned(),
        limits: vec![
            Limit::at_least(
                "catch_up",
                Figure::Bytes,
                0.7,
                vec![Base::Part("read_128k_x4"), Base::Part("loopback")],
            ),
            Limit::at_most("produce_beside", Figure::P99, 6.0, "produce_alone"),
            Limit::at_most("delivery", Figure::P50, 1.3, "ack"),
        ],
    })
}
