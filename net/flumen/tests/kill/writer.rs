//! A writer: an idempotent producer that sends records to all partitions, many in flight, and tells the ledger what is
//! acked. Whatever happens to the node, each of its records must get its ack in the end.

use crate::common::chance::Chance;
use crate::ledger::{Ledger, Mark};
use crate::{PARTITIONS, settings};
use flumen_client::blocking::{Client, Producer, Ticket};
use flumen_client::wire::Acks;
use flumen_client::{NewRecord, ProducerSettings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A record under way: its partition, its mark, bytes of its value.
type Sent = (usize, Mark, u64);

/// Writes until it is told to stop, and then until everything is acked.
pub(crate) fn write(writer: usize, addr: SocketAddr, ledger: &Ledger, mut chance: Chance) {
    let how = ProducerSettings {
        acks: Acks::Quorum,
        idempotence: true,
        batch_bytes: chance.of(&[1 << 10, 16 << 10, 128 << 10]),
        ..ProducerSettings::default()
    };
    let client = Client::new(&addr.to_string(), settings(&mut chance));
    let mut producer = client.producer(how).unwrap();
    let mut under_way: BTreeMap<Ticket, Sent> = BTreeMap::new();
    while ledger.goes_on() {
        if ledger.has_enough() {
            producer.flush();
            take(&mut producer, &mut under_way, ledger);
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        for _ in 0..=chance.below(200) {
            let partition = chance.below(PARTITIONS as u64) as usize;
            let (mark, value) = ledger.next_record(writer, partition);
            let bytes = value.len() as u64;
            let ticket =
                producer.send(&NewRecord::to("load").partition(partition as u32).value(value)).unwrap();
            under_way.insert(ticket, (partition, mark, bytes));
            take(&mut producer, &mut under_way, ledger);
        }
        if chance.one_in(4) {
            producer.flush();
        }
    }
    producer.flush();
    take(&mut producer, &mut under_way, ledger);
    assert!(under_way.is_empty(), "writer {writer}: {} records have no fate", under_way.len());
}

/// Tells the ledger what is acked by now.
fn take(producer: &mut Producer, under_way: &mut BTreeMap<Ticket, Sent>, ledger: &Ledger) {
    while let Some((ticket, result)) = producer.next_completed() {
        let (partition, mark, bytes) = under_way.remove(&ticket).expect("it was sent");
        let acked = result.unwrap_or_else(|error| panic!("{mark:?} of partition {partition}: {error}"));
        assert_eq!(acked.partition.0 as usize, partition);
        ledger.parts()[partition].acked(mark, acked.offset.map(|offset| offset.0));
        ledger.records.fetch_add(1, Ordering::Relaxed);
        ledger.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
