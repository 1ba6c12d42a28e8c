//! The server of the host floors, on any host of the seam: reads requests, writes them durably (one write in flight;
//! what arrives meanwhile is gathered into the next), answers in order. The least that a node could do on this
//! host; it must never grow anything of an engine.

use super::scratch::Ring;
use super::{ANSWER_BYTES, REQUEST_BYTES};
use bytes::{Buf as _, Bytes, BytesMut};
use flumen_io::{Access, Buf, Durability, File, Host, Listener, Read, Stream};
use flumen_model::limits::{BLOCK_BYTES, WRITE_GROUP_BYTES_MAX};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::Poll;

/// Bytes read at once: a whole window of the pipelined floor.
const READ_BYTES: usize = 64 * 1024;
/// Requests answered by one write at most: as many as one disk write holds.
const REQUESTS_MAX: usize = WRITE_GROUP_BYTES_MAX / REQUEST_BYTES;

static ANSWERS: [u8; REQUESTS_MAX * ANSWER_BYTES] = [0; REQUESTS_MAX * ANSWER_BYTES];

/// What the server tells the thread that started it.
#[derive(Debug)]
pub(crate) enum Word {
    /// It listens here.
    Listening(SocketAddr),
    /// It is done.
    Ended(io::Result<()>),
}

/// One run of the server: serves one connection until the client closes it.
#[derive(Debug)]
pub struct HostServer {
    /// The written file behind durable writes; `None` answers at once: the host's round trip.
    pub(crate) file: Option<PathBuf>,
    pub(crate) words: mpsc::Sender<Word>,
}

impl HostServer {
    /// The main future of the server's core.
    pub async fn main<H: Host>(self, host: H) {
        let ended = self.serve(&host).await;
        // Nobody listens any more when the client failed first.
        let _ = self.words.send(Word::Ended(ended));
    }

    async fn serve<H: Host>(&self, host: &H) -> io::Result<()> {
        let disk = match &self.file {
            Some(path) => Some(Journal::open(host, path.clone()).await?),
            None => None,
        };
        let listener = host.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let _ = self.words.send(Word::Listening(listener.local_addr()));
        let stream = listener.accept().await?;
        listener.close();
        match disk {
            Some(disk) => durable(&stream, disk).await,
            None => echo(&stream).await,
        }
    }
}

/// The file that writes go round in, and its buffers: one of each size, taken while a write is in flight.
struct Journal<H: Host> {
    host: H,
    file: H::File,
    ring: Ring,
    buffers: Vec<Option<H::Buf>>,
}

impl<H: Host> Journal<H> {
    async fn open(host: &H, path: PathBuf) -> io::Result<Journal<H>> {
        let access = Access { create: false, ..Access::DURABLE };
        let file = host.open(&path, access).await?;
        let ring = Ring::new(file.size()?);
        let buffers = (0..=WRITE_GROUP_BYTES_MAX / BLOCK_BYTES).map(|_| None).collect();
        Ok(Journal { host: host.clone(), file, ring, buffers })
    }

    /// Takes whole requests off `pending` and packs them into a buffer. Says how many there are and where they go.
    fn pack(&mut self, pending: &mut BytesMut) -> (usize, H::Buf, u64) {
        let requests = (pending.len() / REQUEST_BYTES).min(REQUESTS_MAX);
        let bytes = requests * REQUEST_BYTES;
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        let mut buffer = self.buffers[blocks].take().unwrap_or_else(|| self.host.buf(blocks * BLOCK_BYTES));
        buffer.bytes_mut()[..bytes].copy_from_slice(&pending[..bytes]);
        buffer.bytes_mut()[bytes..].fill(0);
        pending.advance(bytes);
        (requests, buffer, self.ring.take((blocks * BLOCK_BYTES) as u64))
    }

    fn keep(&mut self, buffer: H::Buf) {
        let blocks = buffer.bytes().len() / BLOCK_BYTES;
        self.buffers[blocks] = Some(buffer);
    }
}

/// What ended first.
enum First<W, R> {
    Written(W),
    Read(R),
}

/// Waits for the write or the read. The write is asked first: an answer is owed for it.
async fn first<W: Future, R: Future>(
    mut write: Pin<&mut W>,
    mut read: Pin<&mut R>,
) -> First<W::Output, R::Output> {
    poll_fn(|context| {
        if let Poll::Ready(written) = write.as_mut().poll(context) {
            return Poll::Ready(First::Written(written));
        }
        read.as_mut().poll(context).map(First::Read)
    })
    .await
}

/// Serves with durable writes. The read stays in flight across writes, so that nothing it took is lost.
async fn durable<H: Host>(stream: &H::Stream, mut disk: Journal<H>) -> io::Result<()> {
    let mut pending = BytesMut::with_capacity(READ_BYTES);
    let mut read = pin!(stream.read(BytesMut::with_capacity(READ_BYTES)));
    let mut open = true;
    loop {
        while open && pending.len() < REQUEST_BYTES {
            let (outcome, mut came) = read.as_mut().await;
            open = take(outcome, &mut came, &mut pending)?;
            read.set(stream.read(came));
        }
        if pending.len() < REQUEST_BYTES {
            return Ok(());
        }
        let (requests, buffer, position) = disk.pack(&mut pending);
        let mut write = pin!(disk.file.write_at(buffer, position, Durability::Durable));
        let (outcome, buffer) = loop {
            if !open {
                break write.as_mut().await;
            }
            match first(write.as_mut(), read.as_mut()).await {
                First::Written(written) => break written,
                First::Read((outcome, mut came)) => {
                    open = take(outcome, &mut came, &mut pending)?;
                    read.set(stream.read(came));
                }
            }
        };
        outcome?;
        disk.keep(buffer);
        answer(stream, requests).await?;
    }
}

/// Serves without a disk.
async fn echo(stream: &impl Stream) -> io::Result<()> {
    let mut pending = BytesMut::with_capacity(READ_BYTES);
    let mut came = BytesMut::with_capacity(READ_BYTES);
    loop {
        let (outcome, back) = stream.read(came).await;
        came = back;
        if !take(outcome, &mut came, &mut pending)? {
            return Ok(());
        }
        let requests = (pending.len() / REQUEST_BYTES).min(REQUESTS_MAX);
        pending.advance(requests * REQUEST_BYTES);
        if requests > 0 {
            answer(stream, requests).await?;
        }
    }
}

/// Moves what came behind what is pending. Says whether more may come.
fn take(outcome: io::Result<Read>, came: &mut BytesMut, pending: &mut BytesMut) -> io::Result<bool> {
    let more = outcome? != Read::End;
    pending.extend_from_slice(came);
    came.clear();
    came.reserve(READ_BYTES);
    Ok(more)
}

async fn answer(stream: &impl Stream, requests: usize) -> io::Result<()> {
    stream.write(vec![Bytes::from_static(&ANSWERS[..requests * ANSWER_BYTES])]).await.0
}

#[cfg(test)]
#[path = "host_server_tests.rs"]
mod tests;
