//! `flumen quickstart`: a node, a topic, a real log published line by line, three subscribers that compare what they
//! get with it, and the figures. It shows what the product does; it must never make anything look better than it is.

mod node;
mod publish;
mod readers;
mod report;
mod source;
mod witness;

use crate::cli::node::QuickstartArgs;
use crate::exit::Exit;
use crate::logging;
use crate::print::{self, Form, progress, units};
use crate::start::stop_on_signals;
use crate::verbs::ask::Ask;
use crate::verbs::status;
use flumen_model::{Result, ShardId};
use indicatif::ProgressBar;
use node::{Node, Topic};
use publish::{Enough, Published, Publisher};
use readers::{Board, Reader, Reading, Testimony};
use report::{Latency, Rate, Report, Subscriber};
use source::Source;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many lines at least, so that the figures mean something.
const LINES_MIN: u64 = 200_000;
/// Journals go round so often, so that the figures have their whole life in them.
const JOURNAL_TURNS: u64 = 2;
/// Subscribers that are there from the start.
const EARLY: usize = 2;
/// The late one comes at this share of the work.
const LATE_AT: f64 = 0.5;
/// How often the subscribers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `flumen quickstart`
pub(crate) fn run(args: &QuickstartArgs, form: Form) -> Exit {
    quickstart(args, form).unwrap_or_else(|error| print::fail(&error))
}

fn quickstart(args: &QuickstartArgs, form: Form) -> Result<Exit> {
    logging::start_default()?;
    let say = |line: String| {
        if form == Form::Text {
            print::out(&(line + "\n"))
        }
    };
    let source = Source::choose(args.file.as_deref())?;
    let cut = if source.cut { ", of which this much is used" } else { "" };
    let (lines, bytes) = (units::counted(source.len(), "line"), units::bytes(source.bytes()));
    say(format!("{:<12}{}{cut}: {lines}, {bytes}, again and again, each with a number", "log", source.name));
    let node = Node::start(node::directory(args.data.as_deref())?)?;
    let topic = node.topic()?;
    say(format!(
        "{:<12}{} on {}, {}",
        "node",
        node.address,
        node.data.display(),
        units::counted(node.shards.into(), "shard")
    ));
    say(format!("{:<12}{} with {} partitions\n", "topic", topic.name, topic.partitions));
    let outcome = work(args, &source, &node, &topic);
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            let _ = node.running.stop();
            return Err(error);
        }
    };
    // Before this a signal ends everything at once, and loses nothing.
    let stop = if args.stay { Some(stop_on_signals()?) } else { None };
    form.answer(&report, |report| report.text() + &report.next(args.stay));
    let end = match stop {
        Some(stop) => node.running.watch(&stop),
        None => node.running.stop().map(|()| Exit::Ok)?,
    };
    Ok(if report.whole { end } else { Exit::Damaged })
}

fn enough(args: &QuickstartArgs, node: &Node) -> Enough {
    match args.lines {
        Some(lines) => Enough { lines, bytes: 0 },
        None => {
            Enough { lines: LINES_MIN, bytes: JOURNAL_TURNS * node.journal_bytes * u64::from(node.shards) }
        }
    }
}

fn work(args: &QuickstartArgs, source: &Source, node: &Node, topic: &Topic) -> Result<Report> {
    let enough = enough(args, node);
    let mut publisher = Publisher::open(source, node.address, &topic.name, topic.partitions)?;
    let bar = progress::share("one by one");
    let alone = publisher.alone(enough, &node.data, |share, lines| show(&bar, share, lines));
    bar.finish_and_clear();
    let (acks, floor) = alone?;
    let board = Board::new();
    let reading = Reading {
        source,
        server: node.address,
        topic: &topic.name,
        partitions: topic.partitions,
        board: &board,
    };
    let (bytes, took, testimonies) = publish_and_read(&mut publisher, enough, node, reading)?;
    let lines = publisher.lines();
    let published = Published { lines, bytes, fast_lines: lines - acks.count(), took, acks, floor };
    report(source, node, topic, published, testimonies)
}

/// Publishes as fast as it goes while subscribers read; one of them joins late.
fn publish_and_read(
    publisher: &mut Publisher<'_>,
    enough: Enough,
    node: &Node,
    reading: Reading<'_>,
) -> Result<(u64, Duration, Vec<Testimony>)> {
    let read: [AtomicU64; EARLY + 1] = Default::default();
    let (early, late) = read.split_at(EARLY);
    let board = reading.board;
    std::thread::scope(|scope| {
        let mut readers: Vec<Reader<'_>> =
            early.iter().map(|lines| Reader::start(scope, reading, lines)).collect();
        let bar = progress::share("publishing");
        let fast = publisher.fast(enough, &node.running, &board.acked, |share| {
            if share >= LATE_AT && readers.len() == EARLY {
                readers.push(Reader::start(scope, reading, &late[0]));
            }
            show(&bar, share, board.acked.load(Ordering::Relaxed));
        });
        bar.finish_and_clear();
        match &fast {
            Ok(_) => board.end(publisher.lines()),
            Err(_) => board.give_up(),
        }
        let testimonies = read_back(readers, &read, publisher.lines());
        fast.map(|(bytes, took)| (bytes, took, testimonies))
    })
}

/// Waits until every subscriber has said what it has to say.
fn read_back(readers: Vec<Reader<'_>>, read: &[AtomicU64], total: u64) -> Vec<Testimony> {
    let bar = progress::share("reading back");
    while readers.iter().any(|reader| !reader.has_ended()) {
        let slowest = read.iter().map(|lines| lines.load(Ordering::Relaxed)).min().unwrap_or(0);
        show(&bar, slowest as f64 / total.max(1) as f64, slowest);
        std::thread::sleep(LOOK_EVERY);
    }
    bar.finish_and_clear();
    readers.into_iter().map(Reader::testimony).collect()
}

fn show(bar: &ProgressBar, share: f64, lines: u64) {
    if !bar.is_hidden() {
        bar.set_position((share * progress::SHARE_MAX as f64) as u64);
        bar.set_message(units::counted(lines, "line"));
    }
}

fn report(
    source: &Source,
    node: &Node,
    topic: &Topic,
    published: Published,
    testimonies: Vec<Testimony>,
) -> Result<Report> {
    let mut ask = Ask::connect(node.address)?;
    let partitions = ask.topic(&topic.name)?.partitions;
    let states = ask.describe(&partitions)?;
    let records = states.values().map(|state| state.high_watermark.0.saturating_sub(state.log_start.0)).sum();
    let turns =
        |shard| status::of_shard(&mut ask, ShardId(shard)).map(|status| status["journal"]["turns"].as_u64());
    let turns = (0..node.shards).map(turns).collect::<Result<Vec<_>>>()?;
    let subscribers: Vec<Subscriber> = testimonies
        .into_iter()
        .enumerate()
        .map(|(place, testimony)| Subscriber::of(testimony, place >= EARLY))
        .collect();
    let all_there = subscribers.len() == EARLY + 1 && subscribers.iter().all(Subscriber::is_whole);
    Ok(Report {
        whole: all_there && records == published.lines,
        source: source.name.clone(),
        source_lines: source.len(),
        server: node.address.to_string(),
        data: node.data.clone(),
        shards: node.shards,
        durability: topic.durability.clone(),
        topic: topic.name.clone(),
        partitions: topic.partitions.get(),
        lines: published.lines,
        records,
        fast: Rate::new(published.fast_lines, published.bytes, published.took),
        ack: Latency::of(&published.acks),
        floor: published.floor.as_ref().map(Latency::of),
        journal_turns: turns.into_iter().flatten().min().unwrap_or(0),
        journal_bytes: node.journal_bytes,
        subscribers,
    })
}
