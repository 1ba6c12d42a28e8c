//! `bench restart`: from kill -9 to the first ack, with a full journal; with ten times the stored data; with many
//! partitions.

use super::floor::floors;
use super::node::RECORD_BYTES;
use crate::args::Common;
use crate::limit::{Base, Limit};
use crate::measure::figures::Figure;
use crate::plan::{Ground, Plan};
use crate::subject::restart::{Restart, Stored};
use crate::subject::{Load, Nodes, Until};
use flumen_model::error::{Code, Error, Result};
use std::sync::Arc;

/// The longest restart, in microseconds.
const SERVING_US_MAX: f64 = 3_000_000.0;
const STORED_BYTES: u64 = 1 << 30;

const PARTITIONS: u32 = 16;
const PARTITIONS_MANY: u32 = 10_000;

const LOAD: Load = Load {
    topic: "bench-restart",
    partitions: PARTITIONS,
    records: 64,
    record_bytes: RECORD_BYTES,
    in_flight: 256,
    until: Until::Acked,
    keep_bytes: None,
};

/// The plan of `bench restart`. Only nodes that this program starts can be killed.
pub fn plan(ground: &Ground, common: &Common, nodes: &Arc<dyn Nodes>) -> Result<Plan> {
    if common.server.is_some() {
        let text =
            "bench restart kills the node with -9: leave --server out, so that it starts one of its own";
        return Err(Error::new(Code::InvalidSetting, text));
    }
    let stored = |stored_bytes, partitions| {
        let load = Load { partitions, keep_bytes: Some(stored_bytes), ..LOAD };
        Stored { load, stored_bytes }
    };
    let (little, much, wide) = (
        stored(STORED_BYTES, PARTITIONS),
        stored(10 * STORED_BYTES, PARTITIONS),
        stored(STORED_BYTES, PARTITIONS_MANY),
    );
    let mut parts = floors(ground);
    for (name, stored) in [("restart", little), ("restart_tenfold", much), ("restart_10000", wide)] {
        parts.push(Box::new(Restart::new(&ground.stage, nodes, name, stored)));
    }
    Ok(Plan {
        bench: "restart",
        durability: "quorum-durable".to_owned(),
        parts,
        result: "restart".to_owned(),
        floor: "floor".to_owned(),
        host_floor: "host_floor".to_owned(),
        limits: vec![
            serving("restart"),
            Limit::at_most("restart_tenfold", Figure::P50, 1.2, "restart"),
            serving("restart_10000"),
        ],
    })
}

fn serving(part: &'static str) -> Limit {
    Limit { bases: vec![Base::One], ..Limit::at_most(part, Figure::P50, SERVING_US_MAX, part) }
}
