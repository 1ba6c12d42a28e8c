//! The host floors (c) and (d): the same as the blocking floor, on the host that the node uses, with none of our
//! engine; one in flight, or a window with its writes gathered. It must never name a host: the binary brings them.

use super::client::{Pipe, ping};
use super::host_server::{HostServer, Word};
use super::stage::{Stage, on_cpu, warm_up};
use super::{REQUEST_BYTES, WINDOW};
use crate::drive::{Closed, run_closed};
use crate::fault::failed;
use crate::measure::{Part, Sample};
use flumen_io::Machine;
use flumen_model::error::{Code, Error, Result};
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

type Run = dyn Fn(&Place, HostServer) -> io::Result<()> + Send + Sync;

/// Where a host is to run.
#[derive(Clone, Debug)]
pub struct Place {
    /// The CPU of its one core.
    pub cpu: usize,
    /// A writable directory on the disk that is meant; it holds the file that will be written.
    pub dir: PathBuf,
}

/// One of the hosts that a node can run on: a name and a way to run a floor server on one of its cores.
#[derive(Clone)]
pub struct HostEntry {
    name: &'static str,
    run: Arc<Run>,
}

impl HostEntry {
    /// A host by name. `make` builds a machine of one core at the place it is given.
    pub fn new<M, Make>(name: &'static str, make: Make) -> HostEntry
    where
        M: Machine,
        Make: Fn(&Place) -> io::Result<M> + Send + Sync + 'static,
    {
        let run = move |place: &Place, server: HostServer| {
            make(place)?.run(vec![move |host: M::Host| server.main(host)])
        };
        HostEntry { name, run: Arc::new(run) }
    }

    /// Its name: `glommio`.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// What the server does for a request, and how many are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    RoundTrip,
    OneInFlight,
    Pipelined,
}

/// A host under one of the floors.
pub struct HostFloor {
    stage: Arc<Stage>,
    host: HostEntry,
    shape: Shape,
    name: String,
    about: String,
}

impl HostFloor {
    /// Request and answer, nothing between, one in flight.
    pub fn round_trip(stage: &Arc<Stage>, host: &HostEntry) -> HostFloor {
        HostFloor::new(
            stage,
            host,
            Shape::RoundTrip,
            "host_round_trip",
            "256 B request, answer; one in flight",
        )
    }

    /// Request, durable 4 KiB write, answer, one in flight: (c).
    pub fn one_in_flight(stage: &Arc<Stage>, host: &HostEntry) -> HostFloor {
        let about = "256 B request, durable 4 KiB write, answer; one in flight";
        HostFloor::new(stage, host, Shape::OneInFlight, "host_floor", about)
    }

    /// 256 in flight on one connection, writes gathered: (d).
    pub fn pipelined(stage: &Arc<Stage>, host: &HostEntry) -> HostFloor {
        let about = "256 B requests, durable writes gathered, one at a time; 256 in flight on one connection";
        HostFloor::new(stage, host, Shape::Pipelined, "host_floor_pipelined", about)
    }

    /// Says the host in the part's name: for runs with several.
    pub fn named_by_host(mut self) -> HostFloor {
        self.name = format!("{}.{}", self.name, self.host.name);
        self
    }

    fn new(stage: &Arc<Stage>, host: &HostEntry, shape: Shape, name: &str, about: &str) -> HostFloor {
        let about = format!("{} host, none of the engine: {about}", host.name);
        HostFloor { stage: stage.clone(), host: host.clone(), shape, name: name.to_owned(), about }
    }

    /// Starts the server on a thread of its own and connects to it.
    fn start(&self) -> Result<(Server, TcpStream)> {
        let (words, heard) = mpsc::channel();
        let file = (self.shape != Shape::RoundTrip).then(|| self.stage.small().to_owned());
        let place = Place { cpu: self.stage.pins.server, dir: self.stage.path().to_owned() };
        let run = self.host.run.clone();
        let thread = thread::spawn(move || run(&place, HostServer { file, words }));
        let server = Server { host: self.host.name, thread, heard };
        match server.heard.recv() {
            Ok(Word::Listening(address)) => {
                let stream = TcpStream::connect(address).and_then(|s| s.set_nodelay(true).map(|()| s));
                let stream = stream.map_err(|e| failed(format!("cannot connect to {address}"), e))?;
                Ok((server, stream))
            }
            Ok(Word::Ended(ended)) => Err(server.fault(ended.err())),
            // The thread ended without a word: its machine did not start.
            Err(mpsc::RecvError) => Err(server.end().err().unwrap_or_else(silent)),
        }
    }

    fn ask(&self, stream: TcpStream, length: Duration) -> Result<Sample> {
        if self.shape != Shape::Pipelined {
            return ping(stream, length);
        }
        let load = Closed { window: WINDOW, warm_up: warm_up(length), length };
        run_closed(&mut Pipe::new(stream)?, load)
    }
}

impl Part for HostFloor {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn run(&mut self, length: Duration) -> Result<Sample> {
        let (server, stream) = self.start()?;
        let this = &*self;
        let sample = this.stage.counted(&[], || {
            thread::scope(|scope| {
                let client = on_cpu(scope, this.stage.pins.client, || this.ask(stream, length));
                client.join().expect("a panic of the client ends the run")
            })
        });
        // A server that failed explains the client's broken connection.
        server.end()?;
        let sample = sample?;
        debug_assert_eq!(sample.bytes, sample.records * REQUEST_BYTES as u64);
        Ok(sample)
    }
}

/// A running server.
struct Server {
    host: &'static str,
    thread: thread::JoinHandle<io::Result<()>>,
    heard: mpsc::Receiver<Word>,
}

impl Server {
    /// Waits for its end, which follows the client's.
    fn end(self) -> Result<()> {
        let ended = self.thread.join().expect("a panic of the host ends the run");
        let host = self.host;
        ended.map_err(|e| failed(format!("the {host} host did not start"), e))?;
        match self.heard.try_iter().last() {
            Some(Word::Ended(ended)) => {
                ended.map_err(|e| failed(format!("the server on the {host} host failed"), e))
            }
            _ => Ok(()),
        }
    }

    fn fault(&self, error: Option<io::Error>) -> Error {
        let what = format!("the server on the {} host failed", self.host);
        error.map_or_else(silent, |e| failed(what, e))
    }
}

fn silent() -> Error {
    Error::new(Code::Closed, "the host ended before it served")
}
