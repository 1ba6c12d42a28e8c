//! Loopback bandwidth: one side sends as fast as it can, the other throws away what comes. Nobody on this machine
//! can move bytes from a client faster; it must never look at them.

use super::stage::{Stage, both, loopback_pair, warm_up};
use crate::fault::failed;
use crate::measure::{Part, Sample};
use flumen_model::error::Result;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One write: large enough that calls do not count, small enough for the cache.
const WRITE_BYTES: usize = 256 * 1024;

/// The stream of bytes.
pub struct Loopback {
    stage: Arc<Stage>,
}

impl Loopback {
    /// From the client's CPU to the server's.
    pub fn bandwidth(stage: &Arc<Stage>) -> Loopback {
        Loopback { stage: stage.clone() }
    }
}

impl Part for Loopback {
    fn name(&self) -> &str {
        "loopback"
    }

    fn about(&self) -> &str {
        "one TCP stream over loopback in writes of 256 KiB; client to server"
    }

    fn run(&mut self, length: Duration) -> Result<Sample> {
        let (server, client) = loopback_pair()?;
        let warm = warm_up(length);
        self.stage.counted(&[], || {
            let server = || receive(server, warm).map_err(|e| failed("the receiving side failed", e));
            let client = || send(client, warm + length).map_err(|e| failed("the sending side failed", e));
            both(self.stage.pins, server, client).map(|sides| sides.0)
        })
    }
}

fn send(mut stream: TcpStream, length: Duration) -> io::Result<()> {
    let bytes = vec![7; WRITE_BYTES];
    let end = Instant::now() + length;
    while Instant::now() < end {
        stream.write_all(&bytes)?;
    }
    Ok(())
}

/// Counts what arrives after `warm` until the sender closes.
fn receive(mut stream: TcpStream, warm: Duration) -> io::Result<Sample> {
    let mut bytes = vec![0; WRITE_BYTES];
    let mut sample = Sample::default();
    let start = Instant::now() + warm;
    loop {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(sample);
        }
        let now = Instant::now();
        if now >= start {
            sample.bytes += read as u64;
            sample.records += 1;
            sample.elapsed = now - start;
        }
    }
}
