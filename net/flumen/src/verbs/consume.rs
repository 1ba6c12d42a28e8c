//! `flumen consume`: records as lines, until interrupted, or to the end, or so many. A named subscription's positions
//! are kept as its records are printed, never before.

use super::ask::{Ask, settings};
use super::format::Format;
use super::keeper::{Keeper, Positions};
use crate::cli::records::{ConsumeArgs, RecordFormat};
use crate::cli::values::Position;
use crate::exit::Exit;
use crate::print::{self, Form};
use crate::start::stop_on_signals;
use flumen_client::blocking::{Client, Subscriber};
use flumen_client::{OutOfRange, Record, Start, SubscriberSettings};
use flumen_model::{Code, Error, Offset, PartitionNumber, Result};
use flumen_wire::{GroupState, TopicMetadata};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a wait is before the signals are looked at.
const WAIT: Duration = Duration::from_millis(100);
/// How often positions are kept: what is printed twice after a crash is at most what was printed in this time.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// With an end in sight, silence for so long raises the question whether the node is still there.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Records between two looks at the clock.
const LOOK_EVERY_RECORDS: u64 = 256;
const OUT_BYTES: usize = 64 * 1024;

/// Why a reading ends without an error of the node.
enum End {
    /// What was asked for is printed, or a signal came.
    Done,
    /// Whoever reads the output has gone.
    ReaderGone,
}

/// A reading under way.
struct Reading<'a, W: Write> {
    args: &'a ConsumeArgs,
    server: SocketAddr,
    subscriber: Subscriber,
    format: Format,
    out: BufWriter<W>,
    keeper: Option<Keeper>,
    /// Partitions that are not at their end yet, with it; only for `--to-end`.
    ends: Positions,
    /// The next offset to print of each partition, where that is known.
    next: Positions,
    printed: u64,
    /// Whether it was said that the node does not answer.
    cut_off: bool,
    last_commit: Option<Instant>,
}

/// `flumen consume`
pub(crate) fn run(args: &ConsumeArgs, server: SocketAddr, form: Form) -> Result<Exit> {
    let stop = stop_on_signals()?;
    let mut ask = Ask::connect(server)?;
    let topic = ask.topic(&args.topic)?;
    if let Some(number) = args.partition {
        Ask::partition(&topic, number)?;
    }
    let json = args.format == RecordFormat::Json || form == Form::Json;
    let Ends { ends, damage } =
        if args.to_end { ends(&mut ask, &topic, args.partition)? } else { Ends::default() };
    if let (Position::Offset(wanted), None) = (args.from, &args.subscription) {
        is_within(&ends, wanted)?;
    }
    let keeper = match &args.subscription {
        Some(name) => Some(Keeper::open(ask, server, name, &topic)?),
        None => None,
    };
    let mut next = keeper.as_ref().map(|keeper| keeper.kept().clone()).unwrap_or_default();
    next.retain(|number, _| args.partition.is_none_or(|only| only == *number));
    let mut reading = Reading {
        args,
        server,
        subscriber: subscriber(args, &topic, server)?,
        format: if json { Format::Json } else { Format::Value },
        out: BufWriter::with_capacity(OUT_BYTES, io::stdout().lock()),
        keeper,
        ends,
        next,
        printed: 0,
        cut_off: false,
        last_commit: None,
    };
    match reading.read(&stop) {
        Ok(End::ReaderGone) => Ok(Exit::Ok),
        Ok(End::Done) => {
            let is_at_end = args.to_end && reading.is_at_end();
            reading.close()?;
            // What is intact was printed; a reader of the exit code must not take it for all.
            damage.filter(|_| is_at_end).map_or(Ok(Exit::Ok), Err)
        }
        Err(error) => {
            // What is printed is printed, whatever came then.
            let _ = reading.close();
            Err(error)
        }
    }
}

/// The partitions to read, by number.
fn wanted(topic: &TopicMetadata, only: Option<PartitionNumber>) -> impl Iterator<Item = PartitionNumber> {
    let all = (0..topic.partitions.len() as u32).map(PartitionNumber);
    all.filter(move |number| only.is_none_or(|only| only == *number))
}

fn subscriber(args: &ConsumeArgs, topic: &TopicMetadata, server: SocketAddr) -> Result<Subscriber> {
    let start = match args.from {
        Position::Start => Start::Earliest,
        Position::End => Start::Latest,
        Position::Offset(offset) => Start::Offset(offset),
        Position::Time(time) => Start::Time(time.resolve(super::ask::now())),
    };
    // Only a kept position may have been overtaken by trimming; a wrong offset is the caller's mistake.
    let out_of_range = if args.subscription.is_some() { OutOfRange::Earliest } else { OutOfRange::Error };
    let own =
        SubscriberSettings { name: args.subscription.clone(), start, out_of_range, ..Default::default() };
    let mut subscriber = Client::new(&server.to_string(), settings()).subscriber(own)?;
    for number in wanted(topic, args.partition) {
        subscriber.add_partition(&args.topic, number.0);
    }
    Ok(subscriber)
}

/// Where the partitions end now.
#[derive(Default)]
struct Ends {
    ends: Positions,
    /// One of them ends in damage.
    damage: Option<Error>,
}

fn ends(ask: &mut Ask, topic: &TopicMetadata, only: Option<PartitionNumber>) -> Result<Ends> {
    let states = ask.describe(&topic.partitions)?;
    let damaged = |number: &PartitionNumber| {
        let state = states.get(&topic.partitions[number.0 as usize].group);
        state.is_some_and(|state| state.state == GroupState::Damaged)
    };
    let end = |number: PartitionNumber| {
        let state = states.get(&topic.partitions[number.0 as usize].group);
        match state.and_then(|state| state.error.is_none().then_some(state.high_watermark)) {
            Some(end) => Ok((number, end)),
            None => {
                let message = format!("partition {number} of {} does not serve yet: try again", topic.name);
                Err(Error::new(Code::NotReady, message))
            }
        }
    };
    let ends: Positions = wanted(topic, only).map(end).collect::<Result<_>>()?;
    let damage = ends.iter().find(|(number, _)| damaged(number)).map(|(number, end)| {
        let message = format!(
            "partition {number} of {} is damaged from offset {end} on; stop the node and run `flumen check`",
            topic.name
        );
        Error::new(Code::Corrupt, message)
    });
    Ok(Ends { ends, damage })
}

/// A node refuses an offset behind the end; a reading that ends there must not be faster than its refusal.
fn is_within(ends: &Positions, wanted: Offset) -> Result<()> {
    match ends.iter().find(|(_, end)| wanted > **end) {
        None => Ok(()),
        Some((number, end)) => {
            let message = format!(
                "partition {number} ends at offset {end}, before {wanted}: read from the start or the end"
            );
            Err(Error::new(Code::OffsetOutOfRange, message))
        }
    }
}

impl<W: Write> Reading<'_, W> {
    fn read(&mut self, stop: &AtomicBool) -> Result<End> {
        let mut heard = None;
        loop {
            if stop.load(Ordering::Relaxed) || self.args.count.is_some_and(|count| self.printed >= count) {
                return Ok(End::Done);
            }
            let record = match self.subscriber.next(Some(Duration::ZERO))? {
                Some(record) => Some(record),
                None if self.args.to_end && self.is_at_end() => return Ok(End::Done),
                // Nothing more is here: what was printed should be seen before the wait.
                None if !self.flush_and_commit()? => return Ok(End::ReaderGone),
                None => self.subscriber.next(Some(WAIT))?,
            };
            if record.is_none() || self.cut_off {
                self.tell_connection();
            }
            let Some(record) = record else {
                self.bear_silence(&mut heard)?;
                continue;
            };
            heard = None;
            if !self.take(&record)? || (self.is_commit_looked_at() && !self.flush_and_commit()?) {
                return Ok(End::ReaderGone);
            }
            if self.args.to_end && self.ends.is_empty() {
                return Ok(End::Done);
            }
        }
    }

    /// Nothing came for a while. Who follows a log waits for ever; who reads to its end wants to know when there is
    /// no node to read from.
    fn bear_silence(&self, since: &mut Option<Instant>) -> Result<()> {
        let began = *since.get_or_insert_with(Instant::now);
        if self.args.to_end && began.elapsed() >= SILENCE_MAX {
            Ask::connect(self.server)?;
            *since = None;
        }
        Ok(())
    }

    /// Says so when the node goes away and when it comes back, once each.
    fn tell_connection(&mut self) {
        let server = self.server;
        match self.subscriber.trouble() {
            Some(error) if !self.cut_off => {
                print::note(&format!("note: lost the connection to {server}, trying again: {error}"));
                self.cut_off = true;
            }
            None if self.cut_off => {
                print::note(&format!("note: connected to {server} again"));
                self.cut_off = false;
            }
            _ => {}
        }
    }

    /// Prints a record. False when nobody reads any more.
    fn take(&mut self, record: &Record) -> Result<bool> {
        let number = record.partition;
        if self.args.to_end {
            match self.ends.get(&number).copied() {
                // It came after the reading began, and is for the next one.
                None => return Ok(true),
                Some(end) if record.offset >= end => {
                    self.ends.remove(&number);
                    self.next.entry(number).or_insert(end);
                    return Ok(true);
                }
                Some(end) if record.offset.plus(1) >= end => drop(self.ends.remove(&number)),
                Some(_) => {}
            }
        }
        self.tell_gap(record);
        self.next.insert(number, record.offset.plus(1));
        self.printed += 1;
        told(self.format.write(record, &mut self.out))
    }

    /// Says so when records went away before they were read.
    fn tell_gap(&self, record: &Record) {
        let expected = self.next.get(&record.partition).copied();
        if let Some(expected) = expected.filter(|expected| record.offset > *expected) {
            print::note(&format!(
                "note: {}/{}: offsets {expected} to {} are gone: trimmed, expired or given up",
                record.topic,
                record.partition,
                record.offset.0 - 1
            ));
        }
    }

    /// Whether every partition is where it ended when the reading began.
    fn is_at_end(&mut self) -> bool {
        for (_, number, position) in self.subscriber.positions() {
            if self.ends.get(&number).is_some_and(|end| position >= *end) {
                self.ends.remove(&number);
                self.next.entry(number).or_insert(position);
            }
        }
        self.ends.is_empty()
    }

    fn is_commit_looked_at(&self) -> bool {
        self.keeper.is_some() && self.printed.is_multiple_of(LOOK_EVERY_RECORDS)
    }

    /// Shows what was printed, and then lets the node keep how far that is, every now and then. False when nobody
    /// reads any more.
    fn flush_and_commit(&mut self) -> Result<bool> {
        if !told(self.out.flush())? {
            return Ok(false);
        }
        if self.last_commit.is_none_or(|last| last.elapsed() >= COMMIT_EVERY) {
            self.commit()?;
        }
        Ok(true)
    }

    fn commit(&mut self) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        // A partition that has shown nothing is kept where it began, so that the next reading begins there too.
        for (_, number, position) in self.subscriber.positions() {
            self.next.entry(number).or_insert(position);
        }
        let known = self.next.len();
        keeper.keep(&self.next)?;
        // Until all have begun, it is tried again with each wait.
        if known > 0 {
            self.last_commit = Some(Instant::now());
        }
        Ok(())
    }

    /// The end of the reading: all that was printed is seen and kept.
    fn close(&mut self) -> Result<()> {
        if told(self.out.flush())? {
            self.commit()?;
        }
        Ok(())
    }
}

/// Whether a write found a reader; an error that is not the reader's going away is one.
fn told(written: io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::new(
            Code::LogFailed,
            format!("the output cannot be written: {error}; free space or redirect it"),
        )),
    }
}
