//! What the verbs that load a node have in common: how the node is opened and the loads by name.

use crate::args::Common;
use crate::floor::host::HostFloor;
use crate::measure::Part;
use crate::plan::Ground;
use crate::subject::parts::Scene;
use crate::subject::{Load, Nodes, Start, Until};
use flumen_model::error::Result;
use std::sync::Arc;

/// Payload bytes of a record, as in every figure of the house.
pub const RECORD_BYTES: u32 = 256;
/// Requests that an open load may have in flight: more than any stall of a second gathers.
pub const OPEN_IN_FLIGHT: u32 = 65_536;

/// One record a request to one partition, one in flight.
pub const SINGLE: Load = Load {
    topic: "bench-one",
    partitions: 1,
    records: 1,
    record_bytes: RECORD_BYTES,
    in_flight: 1,
    until: Until::Acked,
    keep_bytes: None,
};

/// The same, as many in flight as the due times ask for.
pub const OPEN: Load = Load { in_flight: OPEN_IN_FLIGHT, ..SINGLE };

/// Large batches to turn a new node's journal once before anything is measured: what is measured in fresh files is
/// not what goes on for ever in recycled ones.
const TURN: Load =
    Load { topic: "bench-turn", records: 256, in_flight: 64, keep_bytes: Some(64 << 20), ..SINGLE };

/// Reaches the node that was named, or starts one on the stage and turns its journal once.
pub fn open(ground: &Ground, common: &Common, nodes: &Arc<dyn Nodes>) -> Result<Scene> {
    open_as("node", ground, common, nodes)
}

/// The same under another name: a node beside, for parts whose topics would weigh on the others.
pub fn open_as(name: &str, ground: &Ground, common: &Common, nodes: &Arc<dyn Nodes>) -> Result<Scene> {
    let dir = ground.stage.path().join(name);
    let start = Start { server: common.server.clone(), dir, cpu: ground.stage.pins.server };
    let node = nodes.open(&start)?.into();
    let scene = Scene { stage: ground.stage.clone(), node };
    if common.server.is_none() {
        scene.turn_journal(&TURN, 1.0)?;
    }
    Ok(scene)
}

/// The floor that pipelined loads are held against: (d).
pub fn pipelined_floor(ground: &Ground) -> Box<dyn Part> {
    Box::new(HostFloor::pipelined(&ground.stage, &ground.host))
}
