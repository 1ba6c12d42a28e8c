//! The journal at work: appends gather while a write is in flight; when it completes, the next write takes what
//! gathered. A full write is built while the one before it is in flight. One write at a time, no timer on the way
//! of an append, no retry: after a failed write nothing is ever acked again.

use flumen_io::{Access, Buf, Durability, File, Host};
use flumen_model::limits::BLOCK_BYTES;
use flumen_model::{Code, Error, Lsn, Result};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::file::{COPIES, FileHeader};
use super::frame::{self, Frame, FrameKind};
use super::group::{self, GroupBuilder};
use super::prewrite;
use super::queue::{Queue, Taken};
use super::report::{FileSpan, ScanReport};
use super::ring::{Ring, Start, Target};
use super::scan;
use super::spec::{self, JournalSpec};
use super::stats::Stats;

/// An append's number. Appends become durable in the order of their tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// From 1, without gaps.
    pub seq: u64,
}

/// A write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// This append and all before it are durable.
    pub up_to: Ticket,
    /// Number of the file that the write went to.
    pub file_seq: u64,
    /// Where the write begins: the position of every append that this write was the first to cover.
    pub lsn_start: Lsn,
    /// Where the write ends.
    pub lsn_end: Lsn,
}

/// The journal of one shard. Cheap calls on `&self`; share it with `Rc`.
pub struct Journal<H: Host> {
    host: H,
    spec: JournalSpec,
    files: RefCell<Vec<Option<H::File>>>,
    state: RefCell<State>,
}

struct State {
    queue: Queue,
    ring: Ring,
    stats: Stats,
    /// Wakes the writer.
    waker: Option<Waker>,
    /// A write is in flight: the writer is woken once a full one has gathered behind it.
    writing: bool,
    /// Something was written since the last mark.
    unmarked: bool,
    running: bool,
    closing: bool,
    /// Why nothing is taken any more.
    failed: Option<Error>,
}

/// What the writer does next.
enum Work {
    Write,
    Mark,
    Wait,
    Stop,
}

/// The writer's scratch memory, used again for every write.
#[derive(Default)]
struct Desk {
    builder: GroupBuilder,
    frames: Vec<Frame>,
}

/// A write that is built and has its place.
struct Built<B> {
    buf: B,
    target: Target,
    /// Bytes before padding.
    measured: usize,
    frames: u64,
    taken: Taken,
    mark: bool,
}

impl<H: Host> Journal<H> {
    /// Opens a scanned journal and begins a fresh file: nothing is ever written behind what a crash left.
    ///
    /// # Errors
    /// A file cannot be opened, or the fresh file's header cannot be written.
    pub async fn open(host: &H, spec: JournalSpec, report: &ScanReport) -> Result<Journal<H>> {
        spec.check();
        let mut files = Vec::new();
        for (slot, file) in scan::open_files(host, &spec, Access { create: false, ..Access::DURABLE }).await?
        {
            files.resize_with(files.len().max(slot + 1), || None);
            files[slot] = Some(file);
        }
        let state = State {
            queue: Queue::default(),
            ring: Ring::of_report(report, &spec),
            stats: Stats::default(),
            waker: None,
            writing: false,
            unmarked: false,
            running: false,
            closing: false,
            failed: None,
        };
        let journal =
            Journal { host: host.clone(), spec, files: RefCell::new(files), state: RefCell::new(state) };
        journal.begin_file().await?;
        Ok(journal)
    }

    /// Queues one atomic append and wakes the writer. No I/O. On a closed or failed journal the frames are
    /// dropped, and the ticket never becomes durable.
    ///
    /// # Panics
    /// When there are no frames, more than [`JournalSpec::append_bytes_max`], or kinds that are the journal's.
    pub fn append(&self, frames: impl IntoIterator<Item = Frame>) -> Ticket {
        self.push(frames, false)
    }

    /// Like [`Journal::append`], but asks for no write of its own: it goes with the next append's or with the
    /// mark of an idle journal.
    pub fn append_lazy(&self, frames: impl IntoIterator<Item = Frame>) -> Ticket {
        self.push(frames, true)
    }

    fn push(&self, frames: impl IntoIterator<Item = Frame>, lazy: bool) -> Ticket {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.failed.is_some() || (state.closing && !state.running) {
            return Ticket { seq: state.queue.skip() };
        }
        let seq = state.queue.push(frames, lazy, self.spec.append_bytes_max);
        if !state.writing || state.queue.fills(self.spec.write_group_bytes_max) {
            state.wake();
        }
        Ticket { seq }
    }

    /// Whether there is room for an append of this many bytes ([`frame_bytes`](frame::frame_bytes) of its
    /// frames) behind everything queued, with two files left for checkpoints. Checkpoints need not ask.
    pub fn admits(&self, bytes: usize) -> bool {
        let state = self.state.borrow();
        state.queue.cost() + spec::cost(bytes, 1) <= state.ring.admissible(&self.spec)
    }

    /// Writes what is appended until [`Journal::close`], and reports every write that took appends once it is
    /// durable.
    ///
    /// # Errors
    /// A write failed. It is never retried; the journal takes and acks nothing any more.
    ///
    /// # Panics
    /// When it is already running.
    pub async fn run_writer(&self, mut on_durable: impl FnMut(Durable)) -> Result<()> {
        let _running = Running::new(&self.state);
        let mut desk = Desk::default();
        let mut ready = None;
        loop {
            if let Some(error) = &self.state.borrow().failed {
                return Err(error.clone());
            }
            let written = match ready.take() {
                Some(built) => self.write(built, &mut desk, &mut on_durable).await,
                None => match self.next_work().await {
                    Work::Write => self.write_next(&mut desk, false, &mut on_durable).await,
                    Work::Mark => self.write_next(&mut desk, true, &mut on_durable).await,
                    Work::Wait => continue,
                    Work::Stop => return Ok(()),
                },
            };
            match written {
                Ok(next) => ready = next,
                Err(error) => {
                    self.fail(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Asks the writer to write what is queued, with a mark behind it, and to stop.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closing = true;
        state.wake();
    }

    /// What to do, waiting for it when there is nothing.
    async fn next_work(&self) -> Work {
        let wants_mark = self.state.borrow().wants_mark();
        let mut idle = pin!(async {
            match wants_mark {
                true => self.host.sleep(self.spec.mark_idle).await,
                false => std::future::pending().await,
            }
        });
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if let Some(work) = state.work(wants_mark) {
                return Poll::Ready(work);
            }
            state.waker = Some(cx.waker().clone());
            drop(state);
            idle.as_mut().poll(cx).map(|()| Work::Mark)
        })
        .await
    }

    /// One write of what is queued, with a mark when asked.
    async fn write_next(
        &self,
        desk: &mut Desk,
        mark: bool,
        on_durable: &mut impl FnMut(Durable),
    ) -> Result<Option<Built<H::Buf>>> {
        let built = match self.build(desk, mark) {
            Some(built) => built,
            None => {
                self.begin_file().await?;
                self.build(desk, mark).expect("a fresh file holds the largest append")
            }
        };
        self.write(built, desk, on_durable).await
    }

    /// Builds the next write of what is queued; none when the file has no room for it.
    fn build(&self, desk: &mut Desk, mark: bool) -> Option<Built<H::Buf>> {
        desk.frames.clear();
        let taken = self.take(desk, mark)?;
        if mark {
            desk.frames.push(group::own(FrameKind::Mark));
        }
        let measured = desk.builder.measure(&desk.frames);
        let bytes = measured.next_multiple_of(BLOCK_BYTES);
        let target = self.state.borrow_mut().ring.place(bytes as u64);
        let mut buf = self.host.buf_to_fill(bytes);
        desk.builder.fill(buf.bytes_mut(), &desk.frames, target.lsn, target.seed);
        let frames = desk.frames.len() as u64 - u64::from(mark);
        // The payloads are in the buffer: let go of them before the wait.
        desk.frames.clear();
        Some(Built { buf, target, measured, frames, taken, mark })
    }

    /// Writes, and reports what is durable. Returns the next write when a full one has gathered meanwhile.
    async fn write(
        &self,
        built: Built<H::Buf>,
        desk: &mut Desk,
        on_durable: &mut impl FnMut(Durable),
    ) -> Result<Option<Built<H::Buf>>> {
        let Built { buf, target, measured, frames, taken, mark } = built;
        let bytes = buf.bytes().len();
        let mut write = pin!(self.file(target.slot).write_at(buf, target.place, Durability::Durable));
        let mut next = None;
        let (result, _) = poll_fn(|cx| {
            let written = write.as_mut().poll(cx);
            if written.is_pending() && next.is_none() {
                next = self.build_full(desk, cx);
            }
            written
        })
        .await;
        self.state.borrow_mut().writing = false;
        result.map_err(|error| scan::failed(&self.spec, target.slot, "written", &error))?;
        self.count(bytes, measured, frames, taken, mark);
        self.report(target, bytes, taken, on_durable);
        Ok(next)
    }

    /// Builds the next write when a full one has gathered; else asks to be woken then.
    fn build_full(&self, desk: &mut Desk, cx: &mut Context<'_>) -> Option<Built<H::Buf>> {
        let fills = self.state.borrow().queue.fills(self.spec.write_group_bytes_max);
        if fills && let Some(built) = self.build(desk, false) {
            return Some(built);
        }
        let state = &mut *self.state.borrow_mut();
        state.writing = true;
        state.waker = (!fills).then(|| cx.waker().clone());
        None
    }

    fn take(&self, desk: &mut Desk, mark: bool) -> Option<Taken> {
        let mut state = self.state.borrow_mut();
        let room = state.ring.room();
        let own = if mark { frame::frame_bytes(0) } else { 0 };
        state.queue.take(own, self.spec.write_group_bytes_max as u64, room, &mut desk.frames)
    }

    fn count(&self, bytes: usize, measured: usize, frames: u64, taken: Taken, mark: bool) {
        let mut state = self.state.borrow_mut();
        state.unmarked = !mark;
        state.stats.count_write(bytes, bytes - measured);
        state.stats.appends += taken.appends;
        state.stats.frames += frames;
        state.stats.marks += u64::from(mark);
    }

    fn report(&self, target: Target, bytes: usize, taken: Taken, on_durable: &mut impl FnMut(Durable)) {
        if taken.appends > 0 {
            on_durable(Durable {
                up_to: Ticket { seq: taken.up_to },
                file_seq: target.seq,
                lsn_start: target.lsn,
                lsn_end: target.lsn.plus(bytes as u64),
            });
        }
    }

    /// Begins the next file: its header is durable in both copies, one after the other, before any write goes
    /// there, so that a crash never damages both.
    async fn begin_file(&self) -> Result<()> {
        let start = self.state.borrow_mut().ring.start();
        self.make_whole(&start).await?;
        let header = self.header_of(&start);
        let file = self.file(start.slot);
        for copy in 0..COPIES {
            let mut buf = self.host.buf(BLOCK_BYTES);
            header.encode(buf.bytes_mut());
            let (result, _) = file.write_at(buf, (copy * BLOCK_BYTES) as u64, Durability::Durable).await;
            result.map_err(|error| scan::failed(&self.spec, start.slot, "written", &error))?;
        }
        let mut state = self.state.borrow_mut();
        state.ring.started(start, header);
        state.stats.files += 1;
        Ok(())
    }

    fn header_of(&self, start: &Start) -> FileHeader {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.host.entropy().to_le_bytes());
        nonce[8..].copy_from_slice(&self.host.entropy().to_le_bytes());
        FileHeader {
            shard: self.spec.shard,
            directory_id: self.spec.directory_id,
            seq: start.seq,
            nonce,
            first: start.first,
            oldest_live_seq: start.oldest_live_seq,
            previous_nonce: start.previous.0,
            previous_end: start.previous.1,
            created_ms: self.host.wall_ms(),
            file_bytes: self.spec.file_bytes,
        }
    }

    /// Makes the file that is about to be begun when no file was free: the ring grows rather than stop. Makes
    /// it again when something cut it short.
    async fn make_whole(&self, start: &Start) -> Result<()> {
        let slot = start.slot;
        let size = if start.added { Ok(0) } else { self.file(slot).size() };
        if size.map_err(|error| scan::failed(&self.spec, slot, "measured", &error))? >= self.spec.file_bytes {
            return Ok(());
        }
        tracing::warn!(path = %self.spec.file_path(slot).display(), "no journal file is free: making one");
        let file = prewrite::prewrite(&self.host, &self.spec, slot, |_| {}).await?;
        self.host
            .sync_dir(&self.spec.dir)
            .await
            .map_err(|error| scan::failed(&self.spec, slot, "made", &error))?;
        let mut files = self.files.borrow_mut();
        let len = files.len().max(slot + 1);
        files.resize_with(len, || None);
        files[slot] = Some(file);
        Ok(())
    }

    fn file(&self, slot: usize) -> H::File {
        self.files.borrow()[slot].clone().expect("every place of the ring that has a file is open")
    }

    fn fail(&self, error: Error) {
        let mut state = self.state.borrow_mut();
        state.queue.clear();
        state.failed = Some(error);
    }

    /// Why the journal takes nothing any more, if a write failed.
    pub fn failed(&self) -> Option<Error> {
        self.state.borrow().failed.clone()
    }

    /// The oldest live file; the one being written when no other is live.
    pub fn oldest(&self) -> Option<FileSpan> {
        Some(self.state.borrow().ring.oldest())
    }

    /// The oldest live file is no longer needed and may be written over.
    ///
    /// # Panics
    /// When it is not the oldest, or is the one being written.
    pub fn release(&self, seq: u64) {
        self.state.borrow_mut().ring.release(seq);
    }

    /// The number of the file being written.
    pub fn current_seq(&self) -> u64 {
        self.state.borrow().ring.current_seq()
    }

    /// The position behind everything written or being written.
    pub fn end(&self) -> Lsn {
        self.state.borrow().ring.end()
    }

    /// Live files, the one being written included.
    pub fn live_files(&self) -> usize {
        self.state.borrow().ring.live_files()
    }

    /// Files that may be written over.
    pub fn free_files(&self) -> usize {
        self.state.borrow().ring.free_files()
    }

    /// How many times the ring has gone round since it was formatted.
    pub fn turns(&self) -> u64 {
        let state = self.state.borrow();
        (state.ring.current_seq() - 1) / state.ring.slots() as u64
    }

    /// What the writer has done since the journal was opened.
    pub fn stats(&self) -> Stats {
        self.state.borrow().stats
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether an idle journal must write a mark: something was written since the last, or lazy appends wait.
    fn wants_mark(&self) -> bool {
        self.unmarked || !self.queue.is_empty()
    }

    /// What there is to do at once. `timed` says whether the caller's wait ends with a mark.
    fn work(&self, timed: bool) -> Option<Work> {
        if self.queue.is_urgent() {
            Some(Work::Write)
        } else if self.closing {
            Some(if self.wants_mark() { Work::Mark } else { Work::Stop })
        } else if self.wants_mark() && !timed {
            Some(Work::Wait)
        } else {
            None
        }
    }
}

/// The one running writer. A writer that is dropped in the middle leaves a write of unknown fate behind, so it
/// fails the journal like a failed write.
struct Running<'j>(&'j RefCell<State>);

impl Running<'_> {
    fn new(state: &RefCell<State>) -> Running<'_> {
        assert!(!std::mem::replace(&mut state.borrow_mut().running, true), "a journal has one writer");
        Running(state)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.0.borrow_mut();
        state.running = false;
        if !state.closing && state.failed.is_none() {
            state.queue.clear();
            state.failed =
                Some(Error::new(Code::LogFailed, "the journal's writer was dropped; restart the node"));
        }
    }
}
