//! `bench ack`: one durable record in flight, held against the floors of the same rounds.

use super::floor::floors;
use super::node::{SINGLE, open};
use crate::args::Common;
use crate::limit::Limit;
use crate::measure::figures::Figure;
use crate::plan::{Ground, Plan};
use crate::subject::Nodes;
use crate::subject::parts::Press;
use flumen_model::error::Result;
use std::sync::Arc;

/// The plan of `bench ack`.
pub fn plan(ground: &Ground, common: &Common, nodes: &Arc<dyn Nodes>) -> Result<Plan> {
    let scene = open(ground, common, nodes)?;
    let mut parts = floors(ground);
    parts.push(scene.produce("ack", SINGLE, Press::Window));
    Ok(Plan {
        bench: "ack",
        durability: scene.node.durability(),
        parts,
        result: "ack".to_owned(),
        floor: "floor".to_owned(),
        host_floor: "host_floor".to_owned(),
        limits: vec![
            Limit::at_most("ack", Figure::P50, 1.2, "host_floor"),
            Limit::at_most("ack", Figure::P99, 1.5, "host_floor"),
        ],
    })
}
