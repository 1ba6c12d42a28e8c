//! The floor (b): a bare blocking server that reads a request, does something (a durable write, or nothing for the
//! raw round trip), answers. Its one client has one request in flight. It must never do anything else.

use super::aligned::Aligned;
use super::client::ping;
use super::scratch::{Ring, open_durable};
use super::stage::{Stage, both, loopback_pair};
use super::{ANSWER_BYTES, REQUEST_BYTES};
use crate::fault::failed;
use crate::measure::{Part, Sample};
use flumen_model::error::Result;
use flumen_model::limits::BLOCK_BYTES;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// The raw loopback round trip, or with a durable write before the answer: the floor.
pub struct Blocking {
    stage: Arc<Stage>,
    durable: bool,
}

impl Blocking {
    /// Request and answer, nothing between.
    pub fn round_trip(stage: &Arc<Stage>) -> Blocking {
        Blocking { stage: stage.clone(), durable: false }
    }

    /// Request, durable 4 KiB write, answer.
    pub fn floor(stage: &Arc<Stage>) -> Blocking {
        Blocking { stage: stage.clone(), durable: true }
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        if !self.durable {
            return serve(stream, |_| Ok(())).map_err(|e| failed("the round trip's server failed", e));
        }
        let file = open_durable(self.stage.small())?;
        let mut block = Aligned::noise(BLOCK_BYTES);
        let mut ring = Ring::new(self.stage.sizes.small);
        let write = |request: &[u8; REQUEST_BYTES]| {
            block.bytes_mut()[..REQUEST_BYTES].copy_from_slice(request);
            file.write_all_at(block.bytes(), ring.take(BLOCK_BYTES as u64))
        };
        serve(stream, write).map_err(|e| failed("the floor's server failed", e))
    }
}

impl Part for Blocking {
    fn name(&self) -> &str {
        if self.durable { "floor" } else { "round_trip" }
    }

    fn about(&self) -> &str {
        match self.durable {
            true => "blocking server: 256 B request, durable 4 KiB write, answer; one in flight",
            false => "blocking server: 256 B request, answer; one in flight",
        }
    }

    fn run(&mut self, length: Duration) -> Result<Sample> {
        let (server, client) = loopback_pair()?;
        self.stage.counted(&[], || {
            both(self.stage.pins, || self.serve(server), || ping(client, length)).map(|r| r.1)
        })
    }
}

/// Answers requests until the client closes.
fn serve(
    mut stream: TcpStream,
    mut work: impl FnMut(&[u8; REQUEST_BYTES]) -> io::Result<()>,
) -> io::Result<()> {
    let mut request = [0; REQUEST_BYTES];
    loop {
        match stream.read_exact(&mut request) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        work(&request)?;
        stream.write_all(&[0; ANSWER_BYTES])?;
    }
}
