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
use flumen_model::limits::Limits;
use std::sync::Arc;

/// The longest restart, in microseconds.
const SERVING_US_MAX: f64 = 3_000_000.0;
const STORED_BYTES: u64 = 1 << 30;

const LOAD: Load = Load {
    topic: "bench-restart",
    partitions: 16,
    records: 64,
    record_bytes: RECORD_BYTES,
    in_flight: 256,
    until: Until::Acked,
};

/// The plan of `bench restart`. Only nodes that this program starts can be killed.
pub fn plan(ground: &Ground, common: &Common, nodes: &Arc<dyn Nodes>) -> Result<Plan> {
    if common.server.is_some() {
        let text =
            "bench restart kills the node with -9: leave --server out, so that it starts one of its own";
        return Err(Error::new(Code::InvalidSetting, text));
    }
    // A fifth more than a node's journal holds: it has been all round when the node is killed.
    let fill_bytes = Limits::production().journal_bytes / 5 * 6;
    let little = Stored { load: LOAD, stored_bytes: STORED_BYTES, fill_bytes };
    let much = Stored { stored_bytes: 10 * STORED_BYTES, ..little };
    let wide = Stored { load: Load { partitions: 10_000, ..LOAD }, ..little };
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
