//! The subscribers of a quickstart: each on a thread and connections of its own, reading everything from the start
//! and comparing it as it comes.

use super::source::Source;
use super::witness::Witness;
use crate::verbs::ask::settings;
use flumen_client::SubscriberSettings;
use flumen_client::blocking::Client;
use flumen_model::{Code, Error, Result};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The number of lines is not known yet.
const UNKNOWN: u64 = u64::MAX;
/// How long one wait for a record is.
const WAIT: Duration = Duration::from_millis(50);
/// When everything is published and nothing comes for so long, the rest is missing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the others are told.
const TELL_EVERY_LINES: u64 = 512;

/// What publisher and subscribers tell each other.
pub(crate) struct Board {
    /// Lines that are acked.
    pub(crate) acked: AtomicU64,
    /// Lines in all, once that is known.
    total: AtomicU64,
    /// Nothing more matters: the publisher failed.
    over: AtomicBool,
}

impl Board {
    pub(crate) fn new() -> Board {
        Board { acked: AtomicU64::new(0), total: AtomicU64::new(UNKNOWN), over: AtomicBool::new(false) }
    }

    /// Everything is published.
    pub(crate) fn end(&self, total: u64) {
        self.total.store(total, Ordering::Release);
    }

    /// The publisher failed.
    pub(crate) fn give_up(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Acquire)).filter(|total| *total != UNKNOWN)
    }
}

/// What one subscriber has to say.
#[derive(Clone, Debug)]
pub(crate) struct Testimony {
    /// Lines that came and were right.
    pub(crate) lines: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// From its first call to its last line.
    pub(crate) took: Duration,
    /// What was wrong; none when every line came back.
    pub(crate) wrong: Option<String>,
}

/// A subscriber at work.
pub(crate) struct Reader<'scope> {
    thread: ScopedJoinHandle<'scope, Testimony>,
}

/// What is read, and from where.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// What was published.
    pub(crate) source: &'a Source,
    /// The node.
    pub(crate) server: SocketAddr,
    /// The topic.
    pub(crate) topic: &'a str,
    /// Its partitions.
    pub(crate) partitions: NonZeroU32,
    /// How far the publisher is.
    pub(crate) board: &'a Board,
}

impl<'scope> Reader<'scope> {
    /// Starts one. `lines` always tells how many lines it has got.
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        reading: Reading<'env>,
        lines: &'env AtomicU64,
    ) -> Reader<'scope> {
        Reader { thread: scope.spawn(move || reading.run(lines)) }
    }

    /// Whether it has read everything, or something was wrong.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What it has to say, once it has read everything or something was wrong.
    pub(crate) fn testimony(self) -> Testimony {
        self.thread.join().expect("a panic of a thread ends the process")
    }
}

impl Reading<'_> {
    fn run(&self, lines: &AtomicU64) -> Testimony {
        let began = Instant::now();
        let mut witness = Witness::new(self.source, self.partitions);
        let wrong = self.read(&mut witness, lines).err().map(|error| error.message);
        lines.store(witness.lines(), Ordering::Relaxed);
        Testimony { lines: witness.lines(), bytes: witness.bytes(), took: began.elapsed(), wrong }
    }

    fn read(&self, witness: &mut Witness<'_>, lines: &AtomicU64) -> Result<()> {
        let differs = |what: String| Error::new(Code::Corrupt, what);
        let mut subscriber =
            Client::new(&self.server.to_string(), settings()).subscriber(SubscriberSettings::default())?;
        subscriber.add_topic(self.topic);
        let (mut last, mut lines_then) = (Instant::now(), 0);
        loop {
            match subscriber.next(Some(WAIT))? {
                Some(record) => {
                    let (key, value) = (record.key.as_deref(), record.value.as_deref());
                    witness.take(record.partition, key, value).map_err(differs)?;
                    let tell = witness.lines().is_multiple_of(TELL_EVERY_LINES);
                    if !tell && self.board.total() != Some(witness.lines()) {
                        continue;
                    }
                }
                None if witness.lines() > lines_then => {
                    (last, lines_then) = (Instant::now(), witness.lines())
                }
                None => {}
            }
            lines.store(witness.lines(), Ordering::Relaxed);
            if self.board.over.load(Ordering::Acquire) {
                return Err(Error::new(Code::Closed, "not everything was published"));
            }
            let Some(total) = self.board.total() else { continue };
            if witness.is_complete(total).map_err(differs)? {
                return Ok(());
            }
            if witness.lines() == lines_then && last.elapsed() > PATIENCE {
                let missing = total - witness.lines();
                return Err(differs(format!("{missing} of {total} lines never came")));
            }
        }
    }
}
