//! `bench hosts`: every host that a node can run on, side by side with the blocking floor in the same rounds, so
//! that the default can be the measured better one.

use crate::floor::HostEntry;
use crate::floor::blocking::Blocking;
use crate::floor::host::HostFloor;
use crate::measure::Part;
use crate::plan::{Ground, Plan};

/// The plan of `bench hosts`.
pub fn plan(ground: &Ground, hosts: &[HostEntry]) -> Plan {
    let stage = &ground.stage;
    let mut parts: Vec<Box<dyn Part>> =
        vec![Box::new(Blocking::round_trip(stage)), Box::new(Blocking::floor(stage))];
    for shape in [HostFloor::round_trip, HostFloor::one_in_flight, HostFloor::pipelined] {
        for host in hosts {
            parts.push(Box::new(shape(stage, host).named_by_host()));
        }
    }
    let chosen = format!("host_floor.{}", ground.host.name());
    Plan {
        bench: "hosts",
        durability: "every answer after O_DIRECT + O_DSYNC".to_owned(),
        parts,
        result: chosen.clone(),
        floor: "floor".to_owned(),
        host_floor: chosen,
        limits: Vec::new(),
    }
}
