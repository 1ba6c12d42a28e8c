//! The blocking face.

use super::{Killer, assert_all_once, settings};
use crate::node::Node;
use crate::server::Server;
use flumen_client::blocking::{Client, RawConnection};
use flumen_client::core::connection::Event;
use flumen_client::model::batch::{BatchBuilder, Compression};
use flumen_client::model::{Code, Offset, ShardId, UnixMillis};
use flumen_client::wire::{Acks, OffsetOf, PingRequest, StatusRequest, SubscribeRequest};
use flumen_client::{NewRecord, ProducerSettings, Start, SubscriberSettings};
use std::time::Duration;

fn client(server: &Server) -> Client {
    Client::new(&server.addr, settings())
}

fn batch(value: &str) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(1 << 16, Compression::None).unwrap();
    builder.append(UnixMillis(1), Some(b"k"), Some(value.as_bytes()), &[]).unwrap();
    builder.finish()
}

#[test]
fn an_admin_creates_describes_trims_and_deletes() {
    let server = Server::start(Node::new(3));
    let mut admin = client(&server).admin().unwrap();
    admin.create_topic("t", 4, &[("retention.ms", "1000")]).unwrap();
    assert_eq!(admin.create_topic("t", 4, &[]).unwrap_err().code, Code::TopicExists);
    admin.alter_topic("t", &[("retention.ms", "")]).unwrap();
    server.node().append("t", 2, &["a".to_string(), "b".to_string()]);
    assert_eq!(admin.list_topics().unwrap().len(), 1);
    let described = admin.describe_topic("t").unwrap();
    let ends: Vec<u64> = described.partitions.iter().map(|(_, state)| state.log_end.0).collect();
    assert_eq!(ends, [0, 0, 2, 0]);
    assert_eq!(admin.offset("t", 2, OffsetOf::Latest), Ok(Some(Offset(2))));
    assert_eq!(admin.offset("t", 2, OffsetOf::Time(UnixMillis(5000))), Ok(None));
    assert_eq!(admin.trim("t", 2, Offset(1)), Ok(Offset(1)));
    assert_eq!(admin.trim("t", 9, Offset(1)).unwrap_err().code, Code::UnknownTopic);
    assert_eq!(admin.status().unwrap(), ["{\"shard\":0}", "{\"shard\":1}", "{\"shard\":2}"]);
    admin.delete_topic("t").unwrap();
    assert_eq!(admin.topic("t").unwrap_err().code, Code::UnknownTopic);
}

#[test]
fn an_admin_resets_and_deletes_subscriptions() {
    let server = Server::start(Node::new(2).with_topic("t", 2));
    let mut admin = client(&server).admin().unwrap();
    server.node().append("t", 1, &["a".to_string(), "b".to_string()]);
    admin.reset_subscription("s", "t", OffsetOf::Time(UnixMillis(9999))).unwrap();
    assert_eq!(admin.list_subscriptions().unwrap(), ["s"]);
    let described = admin.describe_subscription("s").unwrap();
    let offsets: Vec<_> =
        described.positions.iter().map(|(topic, number, at)| (&topic[..], number.0, at.offset.0)).collect();
    assert_eq!(offsets, [("t", 0, 0), ("t", 1, 2)]);
    admin.delete_subscription("s").unwrap();
    assert_eq!(admin.describe_subscription("s").unwrap_err().code, Code::UnknownSubscription);
}

#[test]
fn send_and_wait_tells_each_offset() {
    let server = Server::start(Node::new(2).with_topic("t", 2));
    let mut producer = client(&server).producer(ProducerSettings::default()).unwrap();
    for number in 0..20 {
        let value = number.to_string();
        let offset = producer.send_and_wait("t", number % 2, None, Some(value.as_bytes())).unwrap();
        assert_eq!(offset, Offset(u64::from(number / 2)));
    }
    assert_eq!(producer.send_and_wait("u", 0, None, None).unwrap_err().code, Code::UnknownTopic);
    assert_all_once(&server, 2, 20);
}

#[test]
fn a_node_that_dies_under_load_costs_no_record_and_makes_no_duplicate() {
    let server = Server::start(Node::new(2).with_topic("t", 3));
    let mut producer = client(&server).producer(ProducerSettings::default()).unwrap();
    let killer = Killer::start(&server);
    for number in 0..300 {
        let value = number.to_string();
        match number % 10 {
            0 => drop(producer.send_and_wait("t", number % 3, None, Some(value.as_bytes())).unwrap()),
            _ => drop(producer.send(&NewRecord::to("t").partition(number % 3).value(value)).unwrap()),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    producer.flush();
    drop(killer);
    let fates: Vec<_> = std::iter::from_fn(|| producer.next_completed()).collect();
    assert_eq!((fates.len(), fates.iter().filter(|(_, fate)| fate.is_err()).count()), (270, 0));
    assert_all_once(&server, 3, 300);
}

#[test]
fn who_waits_for_nothing_gets_what_is_here() {
    let server = Server::start(Node::new(2).with_topic("t", 2));
    let mut producer = client(&server).producer(ProducerSettings::default()).unwrap();
    producer.send(&NewRecord::to("t").partition(0).value("0")).unwrap();
    let fate = loop {
        if let Some((_, fate)) = producer.next_completed() {
            break fate;
        }
    };
    assert_eq!(fate.unwrap().offset, Some(Offset(0)));
    let mut subscriber = client(&server).subscriber(SubscriberSettings::default()).unwrap();
    subscriber.add_topic("t");
    while subscriber.next(Some(Duration::ZERO)).unwrap().is_none() {}
}

#[test]
fn a_full_buffer_waits_for_room_and_keeps_all_fates() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let settings =
        ProducerSettings { buffer_bytes_max: 2000, batch_bytes: 300, ..ProducerSettings::default() };
    let mut producer = client(&server).producer(settings).unwrap();
    let tickets: Vec<_> = (0..500)
        .map(|number| producer.send(&NewRecord::to("t").value(number.to_string())).unwrap())
        .collect();
    producer.flush();
    let completed: Vec<_> =
        std::iter::from_fn(|| producer.next_completed()).map(|(ticket, _)| ticket).collect();
    assert_eq!(completed, tickets);
    assert_all_once(&server, 1, 500);
}

#[test]
fn closing_tells_the_first_error() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let mut producer = client(&server).producer(ProducerSettings::default()).unwrap();
    producer.send(&NewRecord::to("t").value("0")).unwrap();
    producer.send(&NewRecord::to("u").value("1")).unwrap();
    assert_eq!(producer.close().unwrap_err().code, Code::UnknownTopic);
    assert_all_once(&server, 1, 1);
}

#[test]
fn a_node_that_is_not_there_is_told_when_the_time_is_up() {
    let settings = flumen_client::Settings { delivery_timeout: Duration::from_millis(50), ..settings() };
    let client = Client::new("127.0.0.1:1", settings);
    let error = client.admin().unwrap().list_topics().unwrap_err();
    assert_eq!(error.code, Code::Timeout);
    assert!(error.message.contains("is the node running?"), "{error}");
    let mut producer = client.producer(ProducerSettings::default()).unwrap();
    let error = producer.send_and_wait("t", 0, None, None).unwrap_err();
    assert!(error.code == Code::Timeout && error.message.contains("is the node running?"), "{error}");
}

#[test]
fn who_is_no_node_is_told_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let client = Client::new(&addr, settings());
    assert_ne!(client.admin().unwrap().list_topics().unwrap_err().code, Code::Timeout);
    let mut producer = client.producer(ProducerSettings::default()).unwrap();
    assert_ne!(producer.send_and_wait("t", 0, None, None).unwrap_err().code, Code::Timeout);
    let mut subscriber = client.subscriber(SubscriberSettings::default()).unwrap();
    subscriber.add_topic("t");
    assert_ne!(subscriber.next(None).unwrap_err().code, Code::Timeout);
}

#[test]
fn a_subscriber_reads_all_shards_through_restarts() {
    let server = Server::start(Node::new(3).with_topic("t", 3));
    let settings = SubscriberSettings { name: Some("s".to_string()), ..SubscriberSettings::default() };
    let mut subscriber = client(&server).subscriber(settings).unwrap();
    subscriber.add_topic("t");
    let killer = Killer::start(&server);
    let mut next = [0; 3];
    for round in 0..100 {
        (0..3).for_each(|partition| server.node().append("t", partition, &[round.to_string()]));
        for _ in 0..3 {
            let record = subscriber.next(Some(Duration::from_secs(60))).unwrap().expect("there is a record");
            let next = &mut next[record.partition.0 as usize];
            assert_eq!(record.offset.0, *next);
            *next += 1;
        }
    }
    drop(killer);
    assert_eq!(subscriber.next(Some(Duration::from_millis(5))), Ok(None));
    subscriber.commit().unwrap();
    assert!(server.node().positions["s"].values().all(|position| position.offset == Offset(100)));
    subscriber.seek("t", 1, Start::Offset(Offset(98))).unwrap();
    let record = subscriber.next(Some(Duration::from_secs(60))).unwrap().unwrap();
    assert_eq!((record.partition.0, record.offset.0), (1, 98));
    assert_eq!(subscriber.positions().len(), 3);
}

#[test]
fn a_raw_connection_keeps_many_batches_in_flight() {
    let server = Server::start(Node::new(2).with_topic("t", 1));
    let (shard, group) = {
        let node = server.node();
        (ShardId(node.group("t", 0).shard), node.topics["t"].1[0])
    };
    let mut raw = RawConnection::connect(&server.addr, Some(shard)).unwrap();
    assert_eq!((raw.hello().shard, raw.hello().shards), (shard, 2));
    let sent: Vec<u32> = (0..100)
        .map(|number| raw.send_batch(group, Acks::Quorum, &batch(&number.to_string())).unwrap())
        .collect();
    // A call between them waits for its own answer and keeps what comes before it.
    raw.call(&PingRequest {}).unwrap();
    assert!(raw.call(&StatusRequest {}).unwrap().json.contains("shard"));
    for (number, expected) in sent.into_iter().enumerate() {
        let Event::Appended { correlation, result } = raw.recv().unwrap() else {
            panic!("an append is next")
        };
        assert_eq!((correlation, result.unwrap().base_offset), (expected, Offset(number as u64)));
    }
    assert_eq!(raw.in_flight(), 0);
    raw.send_batch(group, Acks::None, &batch("100")).unwrap();
    assert_eq!(raw.in_flight(), 0);
    raw.call(&PingRequest {}).unwrap();
    assert_all_once(&server, 1, 101);
}

#[test]
fn a_raw_connection_takes_pushes_without_waiting() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let group = server.node().topics["t"].1[0];
    let mut raw = RawConnection::connect(&server.addr, None).unwrap();
    raw.call(&SubscribeRequest { group, handle: 9, offset: Offset(0), credit_bytes: 1 << 20 }).unwrap();
    raw.set_nonblocking(true).unwrap();
    assert_eq!(raw.poll(), Ok(None));
    raw.queue_batch(group, Acks::Quorum, batch("0"));
    raw.flush().unwrap();
    let mut pushed = false;
    while !pushed {
        match raw.poll().unwrap() {
            Some(Event::Push { handle: 9, push }) => pushed = push.group == group && !push.batches.is_empty(),
            Some(Event::Appended { .. }) | None => {}
            Some(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_large_batch_goes_through_a_raw_connection_whatever_each_write_takes() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let group = server.node().topics["t"].1[0];
    let mut builder = BatchBuilder::new(4 << 20, Compression::None).unwrap();
    builder.append(UnixMillis(1), None, Some(&vec![b'7'; 3 << 20]), &[]).unwrap();
    let large = builder.finish();
    let mut raw = RawConnection::connect(&server.addr, None).unwrap();
    raw.set_nonblocking(true).unwrap();
    for _ in 0..3 {
        raw.send_batch(group, Acks::Quorum, &large).unwrap();
    }
    let mut acked = 0;
    while acked < 3 {
        raw.flush().unwrap();
        acked += usize::from(raw.poll().unwrap().is_some());
    }
    assert_eq!(server.node().group("t", 0).next, Offset(3));
}
