//! What every host checks alike before it touches a device or a socket. Holds no state of its own.

use crate::seam::{Access, Durability};
use flumen_model::limits::BLOCK_BYTES;
use std::cell::Cell;
use std::io;

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn whole_blocks(position: u64, len: usize) -> io::Result<()> {
    if position.is_multiple_of(BLOCK_BYTES as u64) && len.is_multiple_of(BLOCK_BYTES) && len > 0 {
        return Ok(());
    }
    Err(invalid(format!(
        "direct I/O needs whole blocks of {BLOCK_BYTES} bytes, not {len} bytes at {position}"
    )))
}

/// The file was opened for writing.
pub(crate) fn writable(access: Access) -> io::Result<()> {
    if access.write {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file was opened for reading only"))
}

/// A write of whole blocks that the file's access allows.
pub(crate) fn write(access: Access, position: u64, len: usize, durability: Durability) -> io::Result<()> {
    writable(access)?;
    if durability == Durability::Durable && !access.durable {
        return Err(invalid("a durable write needs a file that was opened with durable access".into()));
    }
    whole_blocks(position, len)
}

/// A read of whole blocks.
pub(crate) fn read(position: u64, len: usize) -> io::Result<()> {
    whole_blocks(position, len)
}

/// What a closed listener answers.
pub(crate) fn listener_closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the listener was closed")
}

/// Marks a direction of a stream as busy while it lives.
pub(crate) struct Only<'a>(&'a Cell<bool>);

impl<'a> Only<'a> {
    /// Takes the mark; a second taker is a bug of the caller.
    pub(crate) fn one(busy: &'a Cell<bool>, bug: &str) -> Only<'a> {
        assert!(!busy.replace(true), "{bug}");
        Only(busy)
    }
}

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Runs when it is dropped before [`OnDrop::forget`]: for futures that must not vanish half-way unnoticed.
pub(crate) struct OnDrop<F: FnMut()>(Option<F>);

impl<F: FnMut()> OnDrop<F> {
    /// Armed.
    pub(crate) fn new(act: F) -> OnDrop<F> {
        OnDrop(Some(act))
    }

    /// Disarmed.
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(act) = self.0.as_mut() {
            act();
        }
    }
}
