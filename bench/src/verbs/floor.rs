//! `bench floor`: the raw machine, the blocking floor, the host's floor with one and with many in flight. No limit
//! is claimed: floors are what others are measured by.

use crate::floor::blocking::Blocking;
use crate::floor::disk::Disk;
use crate::floor::host::HostFloor;
use crate::floor::loopback::Loopback;
use crate::measure::Part;
use crate::plan::{Ground, Plan};

/// The parts that every other verb measures beside its own: the two floors.
pub fn floors(ground: &Ground) -> Vec<Box<dyn Part>> {
    let Ground { stage, host, .. } = ground;
    vec![Box::new(Blocking::floor(stage)), Box::new(HostFloor::one_in_flight(stage, host))]
}

/// The plan of `bench floor`.
pub fn plan(ground: &Ground) -> Plan {
    let Ground { stage, host, .. } = ground;
    let mut parts: Vec<Box<dyn Part>> = vec![
        Box::new(Disk::small_writes(stage)),
        Box::new(Blocking::round_trip(stage)),
        Box::new(HostFloor::round_trip(stage, host)),
    ];
    parts.extend(floors(ground));
    parts.push(Box::new(HostFloor::pipelined(stage, host)));
    parts.push(Box::new(Disk::writes(stage)));
    parts.push(Box::new(Disk::deep_writes(stage)));
    parts.push(Box::new(Disk::reads(stage)));
    parts.push(Box::new(Loopback::bandwidth(stage)));
    Plan {
        bench: "floor",
        durability: "every answer after O_DIRECT + O_DSYNC".to_owned(),
        parts,
        result: "host_floor".to_owned(),
        floor: "floor".to_owned(),
        host_floor: "host_floor".to_owned(),
        limits: Vec::new(),
    }
}
