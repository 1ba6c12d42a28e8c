//! The host on glommio 0.9 and io_uring. Everything that glommio does wrong or leaves open is put right here,
//! and nowhere else; nothing of its shape gets out.

mod blocking;
mod channel;
mod file;
mod host;
mod listener;
mod machine;
mod memory;
mod pool;
mod preflight;
mod probe;
mod stream;
#[cfg(test)]
mod tests;

pub use channel::{GlommioReceiver, GlommioRxHalf, GlommioSender, GlommioTxHalf};
pub use file::{GlommioBuf, GlommioFile};
pub use host::GlommioHost;
pub use listener::GlommioListener;
pub use machine::{DsyncMethod, GlommioConfig, GlommioMachine, SPIN_DEDICATED, cpus_allowed};
pub use preflight::{PreflightReport, preflight};
pub use stream::{GlommioParts, GlommioStream};

use glommio::GlommioError;
use std::io;

/// The kernel's error behind glommio's, with its number.
fn io_error<T>(e: GlommioError<T>) -> io::Error {
    match e {
        GlommioError::IoError(e) => e,
        GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}
