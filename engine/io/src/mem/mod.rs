//! A machine in memory: disk, network, clock and scheduler from one seed, on one thread. It behaves like the
//! real host as far as the seam promises anything, and is free where it promises nothing. Never touches the
//! real machine; same world, same seed, same run.

#![forbid(unsafe_code)]

mod channel;
mod clock;
mod content;
#[cfg(test)]
mod content_tests;
mod disk;
mod disk_faults;
mod exec;
mod fate;
#[cfg(test)]
mod fault_tests;
mod faults;
mod file;
mod host;
mod machine;
mod names;
mod net;
mod pipe;
mod rng;
mod story;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
#[cfg(test)]
mod unchanged_tests;
mod world;

pub use channel::{MemReceiver, MemRxHalf, MemSender, MemTxHalf};
pub use disk::DiskOp;
pub use exec::Outcome;
pub use fate::{DamageHook, FaultCounts};
pub use faults::{Chance, ClockFaults, CoreFaults, Damage, DiskFaults, Faults, FileChance, NetFaults, Pace};
pub use file::{MemBuf, MemFile};
pub use host::MemHost;
pub use machine::MemMachine;
pub use stream::{MemListener, MemParts, MemStream};
pub use world::{MemWorld, RunReport};
