//! The oracle's eyes: reads a whole node back and holds it to what is known. The operator waits meanwhile, the writers
//! and the named reader do not.

use crate::common::chance::Chance;
use crate::ledger::{Ledger, Sure};
use crate::operator::Operator;
use crate::{PARTITIONS, reader, settings};
use flumen_client::blocking::{Admin, Client};
use flumen_client::model::Code;
use flumen_client::wire::OffsetOf;
use flumen_client::{Record, SubscriberSettings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A reading that waits so long for what is there is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A partition by topic and number.
type Place = (String, u32);

/// Reads everything and compares.
pub(crate) fn verify(
    addr: SocketAddr,
    ledger: &Ledger,
    operator: &mut Operator,
    sure: &[Sure],
    chance: &mut Chance,
) {
    topics(operator);
    positions(&mut operator.admin, ledger, sure);
    let small = operator.topics.iter().map(|(name, topic)| (name.as_str(), topic.records.len()));
    let all: Vec<(String, usize)> =
        small.chain([("load", PARTITIONS)]).map(|(name, count)| (name.to_owned(), count)).collect();
    let mut ends = BTreeMap::new();
    for (name, count) in all {
        for partition in 0..count as u32 {
            let bounds = bounds(&mut operator.admin, &name, partition);
            ends.insert((name.clone(), partition), bounds);
        }
    }
    let read = read_back(addr, &ends, chance);
    for ((name, partition), records) in &read {
        let (start, end) = ends[&(name.clone(), *partition)];
        let number = *partition as usize;
        match operator.topics.get(name) {
            Some(topic) => {
                let values = records.iter().map(|record| record.value.as_deref().unwrap_or_default());
                let wanted = &topic.records[number];
                assert_eq!((start, end), (0, wanted.len() as u64), "{name}/{partition}");
                assert!(values.eq(wanted.iter().map(Vec::as_slice)), "{name}/{partition} has other records");
            }
            None => {
                let mark = |record: &Record| {
                    let value = record.value.as_deref().unwrap_or_default();
                    (record.offset.0, ledger.mark_of(number, value))
                };
                let records: Vec<_> = records.iter().map(mark).collect();
                ledger.check(number, start, &records, end, &sure[number]);
            }
        }
    }
}

/// The topics that should be there are, and no others.
fn topics(operator: &mut Operator) {
    let listed = operator.admin.list_topics().unwrap().into_iter();
    let mut listed: BTreeMap<_, _> = listed.map(|topic| (topic.name.clone(), topic)).collect();
    assert_eq!(listed.remove("load").map(|topic| topic.partitions.len()), Some(PARTITIONS));
    assert!(
        listed.keys().eq(operator.topics.keys()),
        "{:?} are there, not {:?}",
        listed.keys(),
        operator.topics
    );
    for (name, topic) in &listed {
        let wanted = &operator.topics[name];
        assert_eq!((topic.id, topic.partitions.len()), (wanted.id, wanted.records.len()), "{name}");
    }
}

/// Positions are where they were acked, or asked for since; never ahead.
fn positions(admin: &mut Admin, ledger: &Ledger, sure: &[Sure]) {
    let kept = match admin.describe_subscription(reader::NAME) {
        Ok(subscription) => subscription.positions,
        Err(error) if error.code == Code::UnknownSubscription => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    let kept: BTreeMap<usize, u64> =
        kept.into_iter().map(|(_, number, position)| (number.0 as usize, position.offset.0)).collect();
    for (partition, part) in ledger.parts().iter().enumerate() {
        let position = kept.get(&partition).copied().unwrap_or_default();
        let possible = sure[partition].position..=part.position.asked;
        assert!(possible.contains(&position), "partition {partition}: position {position}, not {possible:?}");
    }
}

fn bounds(admin: &mut Admin, topic: &str, partition: u32) -> (u64, u64) {
    let mut offset = |of| admin.offset(topic, partition, of).unwrap().expect("an end has an offset").0;
    // The start first: it stands still while the operator waits.
    (offset(OffsetOf::Earliest), offset(OffsetOf::Latest))
}

/// The records of all these partitions, from start to end.
fn read_back(
    addr: SocketAddr,
    ends: &BTreeMap<Place, (u64, u64)>,
    chance: &mut Chance,
) -> BTreeMap<Place, Vec<Record>> {
    let client = Client::new(&addr.to_string(), settings(chance));
    let mut subscriber = client.subscriber(SubscriberSettings::default()).unwrap();
    let mut read: BTreeMap<Place, Vec<Record>> =
        ends.keys().map(|place| (place.clone(), Vec::new())).collect();
    let mut open = 0;
    for ((topic, partition), (start, end)) in ends {
        if start < end {
            subscriber.add_partition(topic, *partition);
            open += 1;
        }
    }
    while open > 0 {
        let record = subscriber.next(Some(STUCK_AFTER)).unwrap();
        let record =
            record.unwrap_or_else(|| panic!("{open} partitions are stuck: {:?}", subscriber.trouble()));
        let place = (record.topic.to_string(), record.partition.0);
        let end = ends[&place].1;
        // The writers go on: what is behind the end is for the next time.
        if record.offset.0 < end {
            open -= usize::from(record.offset.0 == end - 1);
            read.get_mut(&place).expect("it was asked for").push(record);
        }
    }
    read
}
