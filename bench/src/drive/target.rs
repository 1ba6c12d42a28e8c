//! What load is pressed on: something that takes requests by number and says later which of them are done. The
//! floor servers and the client are targets. It must never keep time: the drivers do.

use flumen_model::error::Result;
use std::time::Duration;

/// Whether a target took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Taken: it will be done, or the target fails.
    Taken,
    /// No room now: offer it again after the next poll.
    Full,
}

/// One connection, or many, under load. One thread drives it.
pub trait Target {
    /// Takes request number `id`. Numbers rise by one; which partition one goes to is the target's business. May
    /// keep it until the next [`Target::poll`] to send many at once.
    fn send(&mut self, id: u64) -> Result<Sending>;

    /// Sends what was kept, waits at most `wait` for something to be done (not at all for zero), and appends the
    /// numbers of what is done to `done`, each once, in any order. A request that failed is an error of the run.
    fn poll(&mut self, wait: Duration, done: &mut Vec<u64>) -> Result<()>;

    /// Records in one request.
    fn records_per_request(&self) -> u64;

    /// Payload bytes in one request.
    fn bytes_per_request(&self) -> u64;
}
