//! The clients of the floor servers: one request in flight with blocking calls, or many through a target. They must
//! never do more for one floor than for another.

use super::stage::warm_up;
use super::{ANSWER_BYTES, REQUEST_BYTES};
use crate::drive::{Sending, Target};
use crate::fault::failed;
use crate::measure::Sample;
use crate::sys;
use flumen_model::error::{Code, Error, Result};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Answers read at once; more than are ever in flight.
const READ_BYTES: usize = 64 * 1024;
/// A server that answers nothing for this long is dead.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request in flight for about `length`, with blocking calls.
pub fn ping(mut stream: TcpStream, length: Duration) -> Result<Sample> {
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| failed("cannot set a socket's timeout", e))?;
    let (request, mut answer) = ([7; REQUEST_BYTES], [0; ANSWER_BYTES]);
    let mut sample = Sample::default();
    let start = Instant::now() + warm_up(length);
    let end = start + length;
    let mut sent = Instant::now();
    while sent < end {
        let asked = stream.write_all(&request).and_then(|()| stream.read_exact(&mut answer));
        asked.map_err(|e| failed("the server did not answer", e))?;
        let now = Instant::now();
        if sent >= start {
            sample.latencies.record(now - sent);
            sample.elapsed = now - start;
        }
        sent = now;
    }
    sample.records = sample.latencies.count();
    sample.bytes = sample.records * REQUEST_BYTES as u64;
    Ok(sample)
}

/// A floor server as a target: requests are gathered and sent at the next poll, answers come in their order.
pub struct Pipe {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    /// The oldest request without an answer.
    oldest: u64,
    /// Requests taken.
    taken: u64,
    answers: Box<[u8]>,
    /// Bytes of an answer that came in part.
    partial: usize,
}

impl Pipe {
    /// Over a connected stream.
    pub fn new(stream: TcpStream) -> Result<Pipe> {
        stream.set_nonblocking(true).map_err(|e| failed("cannot make a socket non-blocking", e))?;
        let answers = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Pipe {
            stream,
            out: Vec::with_capacity(READ_BYTES),
            sent: 0,
            oldest: 0,
            taken: 0,
            answers,
            partial: 0,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads what is there; says how many answers were completed.
    fn take(&mut self) -> io::Result<u64> {
        match self.stream.read(&mut self.answers) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                let bytes = self.partial + bytes;
                self.partial = bytes % ANSWER_BYTES;
                Ok((bytes / ANSWER_BYTES) as u64)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(e) => Err(e),
        }
    }

    fn answered(&mut self, wait: Duration) -> io::Result<u64> {
        self.flush()?;
        let answers = self.take()?;
        if answers > 0 || wait.is_zero() {
            return Ok(answers);
        }
        sys::wait_ready(&self.stream, !self.out.is_empty(), wait)?;
        self.flush()?;
        self.take()
    }
}

impl Target for Pipe {
    fn send(&mut self, id: u64) -> Result<Sending> {
        if self.out.len() + REQUEST_BYTES > READ_BYTES {
            return Ok(Sending::Full);
        }
        debug_assert_eq!(id, self.taken, "numbers rise by one");
        self.out.resize(self.out.len() + REQUEST_BYTES, 7);
        self.taken += 1;
        Ok(Sending::Taken)
    }

    fn poll(&mut self, wait: Duration, done: &mut Vec<u64>) -> Result<()> {
        let answers = self.answered(wait).map_err(|e| failed("the server did not answer", e))?;
        if self.oldest + answers > self.taken {
            return Err(Error::new(Code::Closed, "the server answered more than it was asked"));
        }
        done.extend(self.oldest..self.oldest + answers);
        self.oldest += answers;
        Ok(())
    }

    fn records_per_request(&self) -> u64 {
        1
    }

    fn bytes_per_request(&self) -> u64 {
        REQUEST_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::stage::loopback_pair;

    #[test]
    fn answers_cut_anywhere_are_counted_once() {
        let (mut server, client) = loopback_pair().unwrap();
        let mut pipe = Pipe::new(client).unwrap();
        let mut done = Vec::new();
        (0..3).for_each(|id| assert_eq!(pipe.send(id).unwrap(), Sending::Taken));
        pipe.poll(Duration::ZERO, &mut done).unwrap();
        server.read_exact(&mut [0; 3 * REQUEST_BYTES]).unwrap();
        for cut in [40, 10, 46] {
            server.write_all(&vec![0; cut]).unwrap();
            pipe.poll(Duration::from_secs(5), &mut done).unwrap();
        }
        assert_eq!(done, [0, 1, 2]);
    }

    #[test]
    fn a_server_that_closes_or_says_too_much_is_an_error() {
        let (mut server, client) = loopback_pair().unwrap();
        let mut pipe = Pipe::new(client).unwrap();
        server.write_all(&[0; ANSWER_BYTES]).unwrap();
        assert!(pipe.poll(Duration::from_secs(5), &mut Vec::new()).is_err());
        drop(server);
        assert_eq!(pipe.poll(Duration::from_secs(5), &mut Vec::new()).unwrap_err().code, Code::Closed);
    }
}
