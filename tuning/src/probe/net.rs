//! What loopback TCP does between two blocking threads: the round trip of a small message, and bytes a second.
//! It never leaves this machine: it binds and connects to 127.0.0.1 only.

use super::stats::{Percentiles, Samples};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of one message of the round trip.
const MESSAGE_BYTES: usize = 64;
/// Bytes of one write of the bandwidth.
const CHUNK_BYTES: usize = 256 * 1024;

/// A connected pair, with Nagle's algorithm off.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// Sends 64 bytes and waits for them to come back, for about `time`.
pub(super) fn round_trip(time: Duration) -> io::Result<Percentiles> {
    let (mut near, mut far) = pair()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut message = [0; MESSAGE_BYTES];
            while far.read_exact(&mut message).is_ok() && far.write_all(&message).is_ok() {}
        });
        let mut message = [0; MESSAGE_BYTES];
        let mut samples = Samples::new();
        let begin = Instant::now();
        while begin.elapsed() < time {
            let start = Instant::now();
            near.write_all(&message)?;
            near.read_exact(&mut message)?;
            samples.record(start.elapsed());
        }
        // The other side ends when this one does.
        near.shutdown(Shutdown::Both)?;
        Ok(samples.percentiles(begin.elapsed()))
    })
}

/// Sends as much as goes through for about `time`. Bytes a second, counted where they arrive.
pub(super) fn bandwidth(time: Duration) -> io::Result<f64> {
    let (mut near, mut far) = pair()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let chunk = vec![7; CHUNK_BYTES];
            let begin = Instant::now();
            while begin.elapsed() < time && near.write_all(&chunk).is_ok() {}
        });
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        let begin = Instant::now();
        loop {
            match far.read(&mut chunk)? {
                0 => return Ok(bytes as f64 / begin.elapsed().as_secs_f64()),
                n => bytes += n,
            }
        }
    })
}
