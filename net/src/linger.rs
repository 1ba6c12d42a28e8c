//! The last moment of a refused connection: what the peer still sends is thrown away until it has read the reason
//! and leaves. Bounded in time and bytes, since nobody else is served by it.

use bytes::BytesMut;
use flumen_io::local::timeout;
use flumen_io::{Host, Read, Stream};
use std::time::Duration;

/// So long a refused peer may take to read why.
const LINGER: Duration = Duration::from_secs(1);
/// So much is thrown away at most.
const LINGER_BYTES_MAX: usize = 8 * 1024 * 1024;
const BUFFER_BYTES: usize = 16 * 1024;

/// Reads and forgets until the peer ends. Without this the kernel would reset the connection for the unread bytes,
/// and the peer would lose the reason.
pub(crate) async fn linger<H: Host>(host: &H, stream: &H::Stream) {
    let forget = async {
        let mut buf = BytesMut::with_capacity(BUFFER_BYTES);
        let mut forgotten = 0;
        while forgotten < LINGER_BYTES_MAX {
            buf.clear();
            buf.reserve(BUFFER_BYTES);
            let (read, back) = stream.read(buf).await;
            buf = back;
            match read {
                Ok(Read::Bytes(bytes)) => forgotten += bytes,
                _ => break,
            }
        }
    };
    let _ = timeout(host, LINGER, forget).await;
}
