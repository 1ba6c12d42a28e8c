//! The tokio face, on a current-thread runtime.

use super::{Killer, assert_all_once, settings};
use crate::node::Node;
use crate::server::Server;
use flumen_client::model::{Code, Offset, UnixMillis};
use flumen_client::wire::OffsetOf;
use flumen_client::{Client, NewRecord, ProducerSettings, Start, SubscriberSettings};
use std::time::Duration;

fn client(server: &Server) -> Client {
    Client::new(&server.addr, settings())
}

fn record(partition: u32, number: u32) -> NewRecord {
    NewRecord::to("t").partition(partition).value(number.to_string())
}

#[tokio::test]
async fn an_admin_creates_describes_trims_and_deletes() {
    let server = Server::start(Node::new(3));
    let admin = client(&server).admin().unwrap();
    admin.create_topic("t", 4, &[]).await.unwrap();
    server.node().append("t", 2, &["a".to_string(), "b".to_string()]);
    // Questions may be asked side by side.
    let (described, offset) = tokio::join!(admin.describe_topic("t"), admin.offset("t", 2, OffsetOf::Latest));
    assert_eq!(described.unwrap().partitions[2].1.log_end, Offset(2));
    assert_eq!(offset, Ok(Some(Offset(2))));
    assert_eq!(admin.trim("t", 2, Offset(1)).await, Ok(Offset(1)));
    admin.reset_subscription("s", "t", OffsetOf::Time(UnixMillis(9999))).await.unwrap();
    assert_eq!(admin.describe_subscription("s").await.unwrap().positions.len(), 4);
    assert_eq!(admin.list_subscriptions().await.unwrap(), ["s"]);
    admin.delete_subscription("s").await.unwrap();
    assert_eq!(admin.status().await.unwrap().len(), 3);
    admin.alter_topic("t", &[("retention.ms", "5")]).await.unwrap();
    admin.delete_topic("t").await.unwrap();
    assert!(admin.list_topics().await.unwrap().is_empty());
}

#[tokio::test]
async fn records_keep_the_order_of_calls_however_they_are_awaited() {
    let server = Server::start(Node::new(2).with_topic("t", 2));
    let producer = client(&server).producer(ProducerSettings::default()).unwrap();
    let mut deliveries: Vec<_> = (0..1000).map(|number| producer.send(record(number % 2, number))).collect();
    while let Some(delivery) = deliveries.pop() {
        let place = deliveries.len();
        let metadata = delivery.await.unwrap();
        assert_eq!(
            (metadata.partition.0 as usize, metadata.offset),
            (place % 2, Some(Offset(place as u64 / 2)))
        );
    }
    assert_all_once(&server, 2, 1000);
}

#[tokio::test]
async fn a_node_that_dies_under_load_costs_no_record_and_makes_no_duplicate() {
    let server = Server::start(Node::new(2).with_topic("t", 3));
    let producer = client(&server).producer(ProducerSettings::default()).unwrap();
    let killer = Killer::start(&server);
    let mut deliveries = Vec::new();
    for number in 0..300 {
        producer.ready().await.unwrap();
        deliveries.push(producer.send(record(number % 3, number)));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    producer.flush().await.unwrap();
    drop(killer);
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_all_once(&server, 3, 300);
}

#[tokio::test]
async fn the_buffer_bounds_those_who_wait_for_room() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let settings =
        ProducerSettings { buffer_bytes_max: 1000, batch_bytes: 200, ..ProducerSettings::default() };
    let producer = client(&server).producer(settings).unwrap();
    for number in 0..300 {
        producer.ready().await.unwrap();
        drop(producer.send(record(0, number)));
    }
    producer.close().await.unwrap();
    assert_all_once(&server, 1, 300);
}

#[tokio::test]
async fn a_dropped_producer_tells_those_who_wait() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    server.kill();
    let producer = client(&server).producer(ProducerSettings::default()).unwrap();
    let delivery = producer.send(record(0, 0));
    drop(producer);
    assert_eq!(delivery.await.unwrap_err().code, Code::Closed);
}

#[tokio::test]
async fn a_closed_producer_takes_nothing_more() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let producer = client(&server).producer(ProducerSettings::default()).unwrap();
    producer.send(record(0, 0)).await.unwrap();
    let clone = producer.clone();
    producer.close().await.unwrap();
    assert_eq!(clone.send(record(0, 1)).await.unwrap_err().code, Code::Closed);
    assert_eq!(clone.ready().await.unwrap_err().code, Code::Closed);
    assert_all_once(&server, 1, 1);
}

#[tokio::test]
async fn a_subscriber_reads_all_shards_through_restarts_and_goes_on_by_name() {
    let server = Server::start(Node::new(3).with_topic("t", 3));
    let settings = SubscriberSettings { name: Some("s".to_string()), ..SubscriberSettings::default() };
    let mut subscriber = client(&server).subscriber(settings.clone()).unwrap();
    subscriber.add_topic("t");
    let killer = Killer::start(&server);
    let mut next = [0; 3];
    for round in 0..100 {
        (0..3).for_each(|partition| server.node().append("t", partition, &[round.to_string()]));
        for _ in 0..3 {
            let record = subscriber.next().await.unwrap();
            let next = &mut next[record.partition.0 as usize];
            assert_eq!(record.offset.0, *next);
            *next += 1;
        }
    }
    drop(killer);
    subscriber.commit().await.unwrap();
    subscriber.seek("t", 1, Start::Offset(Offset(98))).unwrap();
    let record = subscriber.next().await.unwrap();
    assert_eq!((record.partition.0, record.offset.0), (1, 98));
    drop(subscriber);

    (0..3).for_each(|partition| server.node().append("t", partition, &["more".to_string()]));
    let mut subscriber = client(&server).subscriber(settings).unwrap();
    subscriber.add_topic("t");
    for _ in 0..3 {
        assert_eq!(subscriber.next().await.unwrap().offset, Offset(100));
    }
}

#[tokio::test]
async fn a_next_that_is_given_up_loses_nothing() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let mut subscriber = client(&server).subscriber(SubscriberSettings::default()).unwrap();
    subscriber.add_partition("t", 0);
    assert!(tokio::time::timeout(Duration::from_millis(20), subscriber.next()).await.is_err());
    server.node().append("t", 0, &["0".to_string()]);
    assert_eq!(subscriber.next().await.unwrap().offset, Offset(0));
}

#[tokio::test]
async fn what_is_pushed_comes_while_the_reader_waits() {
    let server = Server::start(Node::new(1).with_topic("t", 1));
    let producer = client(&server).producer(ProducerSettings::default()).unwrap();
    let mut subscriber = client(&server).subscriber(SubscriberSettings::default()).unwrap();
    subscriber.add_partition("t", 0);
    let reader = tokio::spawn(async move {
        let mut offsets = Vec::new();
        for _ in 0..50 {
            offsets.push(subscriber.next().await.unwrap().offset.0);
        }
        offsets
    });
    for number in 0..50 {
        producer.send(record(0, number)).await.unwrap();
    }
    assert_eq!(reader.await.unwrap(), (0..50).collect::<Vec<_>>());
}

#[test]
fn outside_of_a_runtime_the_error_says_what_to_do() {
    let client = Client::new("127.0.0.1:1", settings());
    let error = client.producer(ProducerSettings::default()).unwrap_err();
    assert!(error.message.contains("runtime"), "{error}");
}
