//! The shipped client cores on the simulated machine: what the tokio and blocking faces are on a real one. Moves bytes,
//! keeps time, opens and closes sockets when the core says so; knows no protocol and retries nothing by itself.

mod asker;
mod driver;

pub use asker::{Answer, Asker};
pub use driver::{Driver, Held, Kept};

use flumen_client::core::moment::Moment;
use flumen_io::Host;
use flumen_io::mem::MemHost;
use flumen_model::Error;
use std::time::Duration;

/// The address of the simulated node.
pub const NATIVE: &str = "127.0.0.1:9644";

/// The clients' clock: the machine's, which goes on from run to run.
pub(crate) fn moment(host: &MemHost) -> Moment {
    Moment(Duration::from_nanos(host.now().0))
}

/// The network loses bytes and changes none: nonsense from a server is a bug of the server's.
pub(crate) fn no_nonsense(error: &Error) {
    assert!(!error.message.contains("does not keep to the protocol"), "{error}");
}
