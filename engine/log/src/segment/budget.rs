//! The read budget: how many bytes all readers of a core together have in flight to the device. In-flight bytes,
//! not rate, decide how much catch-up readers hurt appends. Never counts what is already in memory.

use super::gate::{Gate, Permit};

/// Counts in-flight read bytes; waits, first come first served, while they are used up.
#[derive(Clone)]
pub struct ReadBudget {
    gate: Gate,
    bytes_in_flight_max: usize,
    request_bytes: usize,
}

impl ReadBudget {
    /// A budget of `bytes_in_flight_max` bytes, read in requests of `request_bytes`.
    pub fn new(bytes_in_flight_max: usize, request_bytes: usize) -> ReadBudget {
        ReadBudget { gate: Gate::new(bytes_in_flight_max), bytes_in_flight_max, request_bytes }
    }

    /// Bytes of one request to the device.
    pub(crate) fn request_bytes(&self) -> usize {
        self.request_bytes
    }

    /// How many requests one reader has going: what the budget lets in flight, and as many that wait for it. So the
    /// device has the next ones before those that came together are checked and taken.
    pub(crate) fn requests_ahead(&self) -> usize {
        2 * (self.bytes_in_flight_max / self.request_bytes.max(1)).max(1)
    }

    /// Waits until `bytes` more may be in flight.
    pub(crate) async fn take(&self, bytes: usize) -> Permit {
        self.gate.enter(bytes).await
    }
}
