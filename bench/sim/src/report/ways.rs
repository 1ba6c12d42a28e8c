//! What the node says in its log, counted by sentence: how often recovery took each of its ways, how often retention,
//! deletion and the watch over free space did something. Only counts; the sentences are the node's own.

use super::Stats;
use flumen_log::ways::TARGET as WAYS_TARGET;
use std::cell::RefCell;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    static WAYS: RefCell<Stats> = RefCell::new(Stats::default());
}

/// Runs something and counts what is logged meanwhile.
pub(crate) fn counted<T>(run: impl FnOnce() -> T) -> (T, Stats) {
    WAYS.with(|ways| *ways.borrow_mut() = Stats::default());
    let result = tracing::subscriber::with_default(Counter, run);
    (result, WAYS.with(|ways| ways.take()))
}

struct Counter;

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && (*metadata.level() <= Level::INFO || metadata.target() == WAYS_TARGET)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        WAYS.with(|ways| {
            let mut ways = ways.borrow_mut();
            if event.metadata().target() == WAYS_TARGET {
                return ways.count(&format!("way: {}", sentence.message), 1);
            }
            ways.count(&format!("log: {}", sentence.message), 1);
            for found in sentence.found {
                ways.count(&format!("log: {}, {found}", sentence.message), 1);
            }
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A sentence, and which of its counts and marks are set.
#[derive(Default)]
struct Sentence {
    message: String,
    found: Vec<&'static str>,
}

/// Fields that tell one way from another.
const MARKS: [&str; 3] = ["torn", "damage", "frames"];

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if value && MARKS.contains(&field.name()) {
            self.found.push(field.name());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_bool(field, value > 0);
    }
}
