//! `flumen produce`: each line becomes a record. It ends when every record has its fate, and says how many were
//! written.

use super::ask::{Ask, settings};
use super::lines::{Lines, split};
use crate::cli::records::{Acks, Compression, ProduceArgs};
use crate::exit::Exit;
use crate::print::{self, Form, progress, units};
use flumen_client::blocking::{Client, Producer};
use flumen_client::{NewRecord, ProducerSettings};
use flumen_model::{Code, Error, Result};
use indicatif::ProgressBar;
use serde::Serialize;
use std::fs::File;
use std::io::{BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Read from a file or a pipe at once.
const READ_BYTES: usize = 256 * 1024;
/// How often fates are collected and the bar is drawn.
const LOOK_EVERY_LINES: u64 = 1024;

/// What was written.
#[derive(Serialize)]
struct Written {
    topic: String,
    /// Records that are written; with acks none, records that were sent.
    records: u64,
    /// Bytes of their keys and values.
    bytes: u64,
    failed: u64,
    seconds: f64,
}

/// Lines, and whether the next one may keep us waiting.
struct Input {
    lines: Lines<BufReader<Box<dyn Read>>>,
    /// A person or a program may be at the other end: what came must not wait for what comes.
    live: bool,
    bar: ProgressBar,
}

impl Input {
    fn open(file: Option<&Path>) -> Result<Input> {
        let of = |reader: Box<dyn Read>, name: &str| {
            Lines::new(BufReader::with_capacity(READ_BYTES, reader), name)
        };
        let Some(path) = file else {
            let lines = of(Box::new(std::io::stdin()), "standard input");
            return Ok(Input { lines, live: true, bar: ProgressBar::hidden() });
        };
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| {
            Error::new(
                Code::InvalidRequest,
                format!("{name} cannot be read: {error}; name another with --file"),
            )
        })?;
        let bar = if metadata.is_file() {
            progress::bytes("producing", metadata.len())
        } else {
            ProgressBar::hidden()
        };
        Ok(Input { lines: of(Box::new(file), &name), live: !metadata.is_file(), bar })
    }
}

/// A producer and what has become of its records.
struct Writing {
    producer: Producer,
    topic: Arc<str>,
    sent: u64,
    sent_bytes: u64,
    finished: u64,
    failed: u64,
    first_error: Option<Error>,
}

impl Writing {
    fn open(args: &ProduceArgs, server: SocketAddr) -> Result<Writing> {
        // Tells a wrong name at once, instead of after the first line.
        let topic = Ask::connect(server)?.topic(&args.topic)?;
        if let Some(number) = args.partition {
            Ask::partition(&topic, number)?;
        }
        let client = Client::new(&server.to_string(), settings());
        let producer = client.producer(producer_settings(args))?;
        let topic = Arc::from(args.topic.as_str());
        Ok(Writing { producer, topic, sent: 0, sent_bytes: 0, finished: 0, failed: 0, first_error: None })
    }

    fn send(&mut self, line: &[u8], args: &ProduceArgs) -> Result<()> {
        let (key, value) = split(line, args.key_separator.as_deref().map(str::as_bytes));
        let mut record = NewRecord::to(self.topic.clone()).value(value.to_vec());
        record.key = key.map(|key| key.to_vec().into());
        record.partition = args.partition;
        self.sent_bytes += (key.map_or(0, <[u8]>::len) + value.len()) as u64;
        self.sent += 1;
        self.producer.send(&record).map(drop)
    }

    /// Collects fates. False when one was bad.
    fn look(&mut self) -> bool {
        while let Some((_, result)) = self.producer.next_completed() {
            self.finished += 1;
            if let Err(error) = result {
                self.failed += 1;
                self.first_error.get_or_insert(error);
            }
        }
        self.first_error.is_none()
    }

    fn flush(&mut self) -> bool {
        self.producer.flush();
        self.look()
    }

    /// Sends line after line until there is no more, or one has failed.
    fn send_all(&mut self, input: &mut Input, args: &ProduceArgs) -> Result<()> {
        loop {
            if input.live && input.lines.is_drained() && !self.flush() {
                return Ok(());
            }
            let Some(line) = input.lines.next()? else { return Ok(()) };
            self.send(line, args)?;
            if self.sent.is_multiple_of(LOOK_EVERY_LINES) {
                input.bar.set_position(input.lines.bytes());
                if !self.look() {
                    return Ok(());
                }
            }
        }
    }
}

fn producer_settings(args: &ProduceArgs) -> ProducerSettings {
    let acks = match args.acks {
        Acks::None => flumen_wire::Acks::None,
        Acks::Leader => flumen_wire::Acks::Leader,
        Acks::Quorum => flumen_wire::Acks::Quorum,
    };
    let compression = match args.compression {
        Compression::None => flumen_model::batch::Compression::None,
        Compression::Gzip => flumen_model::batch::Compression::Gzip,
        Compression::Snappy => flumen_model::batch::Compression::Snappy,
        Compression::Lz4 => flumen_model::batch::Compression::Lz4,
        Compression::Zstd => flumen_model::batch::Compression::Zstd,
    };
    let idempotence = acks != flumen_wire::Acks::None;
    ProducerSettings { acks, idempotence, compression, ..ProducerSettings::default() }
}

/// `flumen produce`
pub(crate) fn run(args: &ProduceArgs, server: SocketAddr, form: Form) -> Result<Exit> {
    let mut input = Input::open(args.file.as_deref())?;
    let mut writing = Writing::open(args, server)?;
    let began = Instant::now();
    let read = writing.send_all(&mut input, args);
    writing.flush();
    let took = began.elapsed();
    input.bar.finish_and_clear();
    let written = Written {
        topic: args.topic.clone(),
        records: writing.sent - writing.failed,
        bytes: writing.sent_bytes,
        failed: writing.failed,
        seconds: took.as_secs_f64(),
    };
    print::note(&summary(&written, args.acks, took));
    if form == Form::Json {
        form.answer(&written, |_| String::new());
    }
    match (writing.first_error, read) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok(())) => Ok(Exit::Ok),
    }
}

fn summary(written: &Written, acks: Acks, took: Duration) -> String {
    let verb = if acks == Acks::None { "sent, not acknowledged," } else { "written" };
    let mut text = format!(
        "{} {verb} to {}, {} in {} ({} a second, {}/s)",
        units::counted(written.records, "record"),
        written.topic,
        units::bytes(written.bytes),
        units::span(took),
        units::count(units::per_second(written.records, took)),
        units::bytes(units::per_second(written.bytes, took)),
    );
    if written.failed > 0 {
        text.push_str(&format!("; {} failed", units::count(written.failed)));
    }
    text
}
