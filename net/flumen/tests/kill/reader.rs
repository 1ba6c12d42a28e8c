//! A reader with a name: reads what the writers write, in order and without a gap, and commits its positions every now
//! and then. Sometimes it ends and another takes its place, which must begin where the name's positions are.

use crate::common::chance::Chance;
use crate::ledger::Ledger;
use crate::{PARTITIONS, settings};
use flumen_client::Record;
use flumen_client::SubscriberSettings;
use flumen_client::blocking::{Client, Subscriber};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The name of the subscription.
pub(crate) const NAME: &str = "named";

/// Reads until it is told to stop.
pub(crate) fn read(addr: SocketAddr, ledger: &Ledger, mut chance: Chance) {
    let client = Client::new(&addr.to_string(), settings(&mut chance));
    while ledger.goes_on() {
        let how = SubscriberSettings { name: Some(NAME.to_owned()), ..SubscriberSettings::default() };
        let mut reading = Reading { from: client.subscriber(how).unwrap(), next: [None; PARTITIONS] };
        reading.from.add_topic("load");
        for _ in 0..=chance.below(8) {
            reading.some(1 + chance.below(2_000), ledger);
            reading.commit(ledger);
        }
    }
}

/// One subscriber and the offset that must come next of each partition.
struct Reading {
    from: Subscriber,
    next: [Option<u64>; PARTITIONS],
}

impl Reading {
    /// Reads up to so many records.
    fn some(&mut self, records: u64, ledger: &Ledger) {
        for _ in 0..records {
            if !ledger.goes_on() {
                return;
            }
            if let Some(record) = self.from.next(Some(Duration::from_millis(50))).unwrap() {
                self.take(&record, ledger);
            }
        }
    }

    fn take(&mut self, record: &Record, ledger: &Ledger) {
        let (partition, offset) = (record.partition.0 as usize, record.offset.0);
        let mark = ledger.mark_of(partition, record.value.as_deref().unwrap_or_default());
        let part = &mut ledger.parts()[partition];
        let wanted = match self.next[partition] {
            Some(next) => next..=next,
            None => part.position.acked..=part.position.asked,
        };
        // What was trimmed away is left out.
        let jumped = offset > *wanted.end() && offset <= part.trimmed.asked;
        assert!(jumped || wanted.contains(&offset), "partition {partition}: offset {offset}, not {wanted:?}");
        part.read(offset, mark);
        self.next[partition] = Some(offset + 1);
    }

    /// Commits, and holds the node to it.
    fn commit(&mut self, ledger: &Ledger) {
        // A partition that was never read has no position of its own yet, or the one that is kept.
        let asked: Vec<(usize, u64)> =
            self.from.positions().iter().map(|(_, n, at)| (n.0 as usize, at.0)).collect();
        for &(partition, at) in &asked {
            let part = &mut ledger.parts()[partition];
            let delivered = self.next[partition].unwrap_or(part.position.asked);
            assert!(
                at <= delivered.max(part.trimmed.asked),
                "partition {partition}: {at} was never delivered"
            );
            part.position.ask(at);
        }
        self.from.commit().unwrap();
        for (partition, at) in asked {
            ledger.parts()[partition].position.ack(at);
        }
        ledger.commits.fetch_add(1, Ordering::Relaxed);
    }
}
