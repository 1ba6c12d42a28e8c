//! One bare connection with as many requests in flight as its user likes, for benchmarks and for clients that do
//! their own routing. It never tries again and never chooses a shard.

use crate::blocking::socket::{failed, is_pause, open_socket, read_some, set_timeout, write_all};
use crate::core::connection::{Connection, Event};
use crate::settings::Settings;
use bytes::{Buf, BytesMut};
use flumen_model::{Code, Error, GroupId, Result, ShardId};
use flumen_wire::{Acks, HelloReply, Request, decode_reply};
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A connection on the caller's thread.
///
/// The server stops reading while 4,096 requests or 4 MiB of replies wait for it, so read replies before that many
/// are in flight.
///
/// ```no_run
/// use flumen_client::blocking::RawConnection;
/// use flumen_client::core::connection::Event;
/// use flumen_client::model::{GroupId, ShardId};
/// use flumen_client::wire::Acks;
///
/// # fn run(batch: &[u8]) -> flumen_client::model::Result<()> {
/// let mut connection = RawConnection::connect("127.0.0.1:9644", Some(ShardId(0)))?;
/// for _ in 0..16 {
///     connection.send_batch(GroupId(16), Acks::Quorum, batch)?;
/// }
/// while connection.in_flight() > 0 {
///     if let Event::Appended { correlation, result } = connection.recv()? {
///         println!("{correlation}: {:?}", result?.base_offset);
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    core: Connection,
    hello: HelloReply,
    header: BytesMut,
    /// What came while a call waited for its own answer.
    set_aside: VecDeque<Event>,
    nonblocking: bool,
}

impl RawConnection {
    /// Connects and shakes hands. `shard` none takes any; see [`RawConnection::hello`] for where it landed.
    pub fn connect(addr: impl ToSocketAddrs, shard: Option<ShardId>) -> Result<RawConnection> {
        RawConnection::connect_with(addr, shard, &Settings::default())
    }

    /// Like [`RawConnection::connect`], with a client id and timeouts of one's own.
    pub fn connect_with(
        addr: impl ToSocketAddrs,
        shard: Option<ShardId>,
        settings: &Settings,
    ) -> Result<RawConnection> {
        let mut stream = open_socket(addr, settings.connect_timeout)?;
        let mut core = Connection::open(&settings.client_id, shard)?;
        set_timeout(&stream, Some(settings.connect_timeout))?;
        write_all(&mut stream, core.outgoing())?;
        let hello = loop {
            match core.next_event()? {
                Some(Event::Opened(hello)) => break hello,
                Some(_) => unreachable!("nothing was asked yet, and the core refuses what is out of turn"),
                None => read_some(&mut stream, &mut core)?,
            }
        };
        set_timeout(&stream, Some(settings.request_timeout))?;
        let header = BytesMut::with_capacity(64);
        Ok(RawConnection { stream, core, hello, header, set_aside: VecDeque::new(), nonblocking: false })
    }

    /// Who is on the other side, and on which shard.
    pub fn hello(&self) -> &HelloReply {
        &self.hello
    }

    /// The socket, for options and readiness. Reading or writing it breaks the connection.
    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.core.in_flight()
    }

    /// How long a read or write may wait; none waits for ever.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        set_timeout(&self.stream, timeout)
    }

    /// Whether sends and [`RawConnection::poll`] return at once. Then [`RawConnection::flush`] sends what the socket
    /// did not take, and [`RawConnection::recv`] must not be used.
    pub fn set_nonblocking(&mut self, nonblocking: bool) -> Result<()> {
        self.stream.set_nonblocking(nonblocking).map_err(|error| failed("set up", &error))?;
        self.nonblocking = nonblocking;
        Ok(())
    }

    /// Sends one batch, header and batch in one write without a copy, and tells its correlation. With [`Acks::None`]
    /// no answer comes.
    pub fn send_batch(&mut self, group: GroupId, acks: Acks, batch: &[u8]) -> Result<u32> {
        self.flush()?;
        let correlation = self.core.begin_batch(group, acks, batch.len(), &mut self.header);
        let sent = match self.core.outgoing().has_remaining() {
            true => 0,
            false => match self.stream.write_vectored(&[IoSlice::new(&self.header), IoSlice::new(batch)]) {
                Ok(sent) => sent,
                Err(error) if is_pause(&error) && self.nonblocking => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) => return Err(failed("written", &error)),
            },
        };
        let header_sent = sent.min(self.header.len());
        let unsent_header = &self.header[header_sent..];
        let unsent_batch = &batch[sent - header_sent..];
        if !unsent_header.is_empty() || !unsent_batch.is_empty() {
            let out = self.core.outgoing().pack();
            out.extend_from_slice(unsent_header);
            out.extend_from_slice(unsent_batch);
            self.flush()?;
        }
        Ok(correlation)
    }

    /// Queues one batch without a write, so that several leave in one [`RawConnection::flush`].
    pub fn queue_batch(&mut self, group: GroupId, acks: Acks, batch: bytes::Bytes) -> u32 {
        self.core.send_batch(group, acks, batch)
    }

    /// Sends a request and tells its correlation.
    pub fn send<R: Request>(&mut self, request: &R) -> Result<u32> {
        let correlation = self.core.send(request)?;
        self.flush()?;
        Ok(correlation)
    }

    /// Sends a request and waits for its answer. What else comes meanwhile is kept for [`RawConnection::recv`].
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Reply> {
        let asked = self.send(request)?;
        loop {
            match self.next_from_core()? {
                Some(Event::Reply { correlation, body, .. }) if correlation == asked => {
                    return decode_reply::<R>(&body);
                }
                Some(Event::Appended { correlation, result }) if correlation == asked => {
                    return Err(result.err().unwrap_or_else(|| {
                        Error::new(Code::Unsupported, "batches are sent with send_batch, not with call")
                    }));
                }
                Some(other) => self.set_aside.push_back(other),
                None => read_some(&mut self.stream, &mut self.core)?,
            }
        }
    }

    /// Writes what is queued; in nonblocking mode, as much as the socket takes.
    pub fn flush(&mut self) -> Result<()> {
        match write_all(&mut self.stream, self.core.outgoing()) {
            Err(error) if self.nonblocking && error.code == Code::Timeout => Ok(()),
            result => result,
        }
    }

    /// The next thing that came, waiting for it. One read brings many.
    pub fn recv(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.buffered()? {
                return Ok(event);
            }
            read_some(&mut self.stream, &mut self.core)?;
        }
    }

    /// The next thing that has already been read, without a system call.
    pub fn buffered(&mut self) -> Result<Option<Event>> {
        match self.set_aside.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.next_from_core(),
        }
    }

    /// The next thing that came, after at most one read. Only in nonblocking mode does it not wait.
    pub fn poll(&mut self) -> Result<Option<Event>> {
        if let Some(event) = self.buffered()? {
            return Ok(Some(event));
        }
        match read_some(&mut self.stream, &mut self.core) {
            Ok(()) => self.buffered(),
            Err(error) if self.nonblocking && error.code == Code::Timeout => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn next_from_core(&mut self) -> Result<Option<Event>> {
        self.core.next_event()
    }
}
