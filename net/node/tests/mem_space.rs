//! Full disks: users' records are refused, nothing else is, and the reserve lets go on what must go on.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;

use common::*;
use flumen_io::Host;
use flumen_io::mem::MemWorld;
use flumen_model::limits::Limits;
use flumen_model::{Code, GroupId, Offset};
use flumen_node::NodeConfig;
use flumen_wire::*;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Two topics with records of one batch each.
fn filled(world: &MemWorld, records: u64) {
    run_node(
        world,
        1,
        1,
        config(1),
        |machine| machine,
        move |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.create("orders", 1).await[0];
            let other = asker.create("other", 1).await[0];
            for number in 0..records {
                asker.produce(group, &[&format!("order {number}.")]).await.unwrap();
                asker.produce(other, &[&format!("other {number}.")]).await.unwrap();
            }
        },
    );
}

#[test]
fn a_full_disk_refuses_records_while_reads_deletes_and_positions_go_on() {
    let world = MemWorld::new();
    filled(&world, 20);
    let used: u64 = world.files().iter().map(|(_, bytes)| bytes).sum();
    world.set_space_limit(Some(used + 1024 * 1024));
    run_node(
        &world,
        2,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.groups("orders").await[0];
            host.sleep(Duration::from_secs(2)).await;
            assert_eq!(asker.produce(group, &["more"]).await.unwrap_err().code, Code::DiskFull);
            assert_eq!(asker.read_all(group, 0).await.unwrap().len(), 20);
            let position = Position { group, offset: Offset(5), leader_epoch: 0, metadata: String::new() };
            let commit = CommitPositionsRequest { subscription: "s".into(), positions: vec![position] };
            asker.ask(&commit).await.unwrap();
            asker.ask(&TrimRequest { group, before_offset: Offset(3) }).await.unwrap();
            asker.ask(&DeleteTopicRequest { name: "other".into() }).await.unwrap();
            let state = asker.ask(&DescribeRequest { groups: vec![group] }).await.unwrap().groups[0].clone();
            assert_eq!((state.state, state.log_start), (GroupState::Full, Offset(3)));
        },
    );
    world.set_space_limit(None);
    run_node(
        &world,
        3,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.groups("orders").await[0];
            assert_eq!(asker.produce(group, &["more"]).await, Ok(Offset(20)));
            assert_eq!(asker.read_all(group, 3).await.unwrap().len(), 18);
            assert_eq!(
                asker
                    .ask(&FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 0, bytes_min: 0 })
                    .await
                    .unwrap_err()
                    .code,
                Code::OffsetOutOfRange
            );
            let positions =
                asker.ask(&FetchPositionsRequest { subscription: "s".into() }).await.unwrap().positions;
            assert_eq!((positions[0].group, positions[0].offset), (group, Offset(5)));
        },
    );
}

/// Bytes of the reserve's file.
fn reserve(world: &MemWorld) -> Option<u64> {
    let file = world.files().into_iter().find(|(path, _)| path.ends_with("reserve"));
    file.map(|(_, bytes)| bytes)
}

/// Bytes of all segments.
fn spread(world: &MemWorld) -> u64 {
    let segments = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
    world.files().iter().filter(|(path, _)| segments(path)).map(|(_, bytes)| bytes).sum()
}

fn value() -> String {
    "x".repeat(8 * 1024)
}

/// No watermark but the reserve: what `statvfs` says refuses nothing, as under a quota.
fn only_a_reserve() -> NodeConfig {
    let limits = Limits { disk_warn_bytes: 0, disk_refuse_bytes: 0, ..config(1).limits };
    NodeConfig { limits, ..config(1) }
}

/// Produces until a record is refused; how many were acked.
async fn until_refused(asker: &Asker<MemHost>, group: GroupId, value: &str) -> u64 {
    for acked in 0..10_000 {
        match asker.produce(group, &[value]).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.code, Code::DiskFull, "{error}");
                return acked;
            }
        }
    }
    panic!("the disk never gets full");
}

/// One life of a node that only its reserve warns.
fn life<F: Future<Output = ()> + 'static>(
    world: &MemWorld,
    seed: u64,
    client: impl FnOnce(MemHost, Rc<Asker<MemHost>>) -> F + Send + 'static,
) {
    let client = |host: MemHost| async move {
        let asker = Asker::connect(&host, 0).await;
        client(host, asker).await;
    };
    run_node(world, seed, 1, only_a_reserve(), |machine| machine, client);
}

#[test]
fn without_room_to_spread_the_reserve_is_given_back_and_records_are_taken_once_it_is_whole_again() {
    let world = MemWorld::new();
    life(&world, 1, |host, asker| async move {
        asker.create("orders", 1).await;
        host.sleep(Duration::from_secs(2)).await;
    });
    assert_eq!(reserve(&world), Some(Limits::simulation().disk_reserve_bytes));
    assert_eq!(spread(&world), 0);

    world.set_space_limit(Some(world.files().iter().map(|(_, bytes)| bytes).sum()));
    life(&world, 2, |host, asker| async move {
        let group = asker.groups("orders").await[0];
        let acked = until_refused(&asker, group, &value()).await;
        assert!(acked > 0, "the journal has room");
        // Before retention looks: these records are old, and would go and make room.
        host.sleep(Duration::from_secs(3)).await;
        let error = asker.produce(group, &[&value()]).await.unwrap_err();
        assert_eq!(error.code, Code::DiskFull, "there is room, but it is the reserve's");
        assert_eq!(asker.read_all(group, 0).await.unwrap().len() as u64, acked);
    });
    assert_eq!(reserve(&world), None, "spreading has it");
    assert!(spread(&world) > 0, "the batches lie in a segment");

    world.set_space_limit(None);
    life(&world, 3, |host, asker| async move {
        let group = asker.groups("orders").await[0];
        host.sleep(Duration::from_secs(3)).await;
        asker.produce(group, &[&value()]).await.unwrap();
    });
    assert_eq!(reserve(&world), Some(Limits::simulation().disk_reserve_bytes));
}

#[test]
fn a_node_that_finds_its_reserve_whole_takes_records_though_a_second_one_would_not_fit() {
    let world = MemWorld::new();
    filled(&world, 3);
    let used: u64 = world.files().iter().map(|(_, bytes)| bytes).sum();
    world.set_space_limit(Some(used + Limits::simulation().disk_refuse_bytes + 64 * 1024));
    run_node(
        &world,
        2,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.groups("orders").await[0];
            host.sleep(Duration::from_secs(3)).await;
            assert_eq!(asker.produce(group, &["more"]).await, Ok(Offset(3)));
        },
    );
}
