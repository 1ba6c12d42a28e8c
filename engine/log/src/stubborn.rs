//! Reads whose failure counts as damage: tried again before anybody believes them. A device's passing error must not
//! make acked data unreadable; one that lasts is damage like any other. It never judges bytes.

use bytes::Bytes;
use flumen_io::File;
use std::io;

/// Tries before a place counts as unreadable.
const TRIES_MAX: usize = 4;

/// [`File::read_at`], a few times when it fails.
pub(crate) async fn read_at<F: File>(file: &F, position: u64, len: usize) -> io::Result<Bytes> {
    for _ in 1..TRIES_MAX {
        if let Ok(bytes) = file.read_at(position, len).await {
            return Ok(bytes);
        }
    }
    file.read_at(position, len).await
}
