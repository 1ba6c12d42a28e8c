//! Rot in acked data: reported and contained, never hidden.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;

use common::*;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_model::limits::Limits;
use flumen_model::{Code, Offset, PartitionNumber};
use flumen_node::check::{Report, check};
use flumen_node::repair::accept_loss;
use flumen_wire::*;
use std::path::PathBuf;

fn checked(world: &MemWorld) -> Report {
    check(MemMachine::new(world.clone(), 99), "/data".into(), Limits::simulation())
        .expect("the directory is readable")
}

/// Two topics; the records of `orders` are "order 0" and so on, one batch and one journal write each.
fn filled(world: &MemWorld, orders: u64) {
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
            for number in 0..orders {
                asker.produce(group, &[&format!("order {number}.")]).await.unwrap();
                asker.produce(other, &[&format!("other {number}.")]).await.unwrap();
            }
        },
    );
}

/// Flips a bit in the one place of the journal where these bytes are.
fn rot(world: &MemWorld, needle: &str) -> (PathBuf, u64) {
    for (path, _) in world.files() {
        let bytes = world.read_file(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle.as_bytes()) {
            world.corrupt(&path, at as u64, 0x40).unwrap();
            return (path, at as u64);
        }
    }
    panic!("{needle} is nowhere on the disk");
}

#[test]
fn a_sound_directory_has_no_damage_and_check_tells_what_it_holds() {
    let world = MemWorld::new();
    filled(&world, 30);
    let report = checked(&world);
    assert_eq!(report.damage, []);
    assert_eq!((report.topics, report.partitions.len()), (2, 2));
    for partition in &report.partitions {
        assert_eq!((partition.log_start, partition.end, partition.damaged), (Offset(0), Offset(30), None));
    }
}

#[test]
fn rot_in_acked_data_makes_its_partition_read_only_up_to_it_until_the_loss_is_accepted() {
    let world = MemWorld::new();
    filled(&world, 30);
    let (file, _) = rot(&world, "order 20.");
    let report = checked(&world);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].file, file);
    assert_eq!(report.partitions[0].damaged.map(|damaged| damaged.from), Some(Offset(20)));
    assert_eq!(report.partitions[1].damaged, None, "the other topic is unharmed");

    // Twice: the damage is remembered even when the journal has moved on.
    for seed in [2, 3] {
        run_node(
            &world,
            seed,
            1,
            config(1),
            |machine| machine,
            |host| async move {
                let asker = Asker::connect(&host, 0).await;
                let group = asker.groups("orders").await[0];
                let read = asker.read_all(group, 0).await;
                let read = read.expect_err("a reader is told at the damage, not that it is at the end");
                assert_eq!(read.code, Code::Corrupt);
                let fetch =
                    FetchRequest { group, offset: Offset(0), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 };
                let served = values_of(&asker.ask(&fetch).await.unwrap().batches);
                assert_eq!(served.len(), 20, "what is before the damage is served");
                assert_eq!(asker.produce(group, &["more"]).await.unwrap_err().code, Code::Corrupt);
                let other = asker.groups("other").await[0];
                assert!(asker.produce(other, &["more"]).await.is_ok());
                let state =
                    asker.ask(&DescribeRequest { groups: vec![group] }).await.unwrap().groups[0].clone();
                assert_eq!((state.state, state.damaged_from), (GroupState::Damaged, Some(Offset(20))));
            },
        );
    }

    let machine = MemMachine::new(world.clone(), 4);
    let limits = Limits::simulation();
    accept_loss(machine, "/data".into(), limits.clone(), "orders".into(), PartitionNumber(0)).unwrap();
    let again = accept_loss(
        MemMachine::new(world.clone(), 5),
        "/data".into(),
        limits,
        "orders".into(),
        PartitionNumber(0),
    );
    assert_eq!(again.unwrap_err().code, Code::InvalidRequest, "there is nothing left to accept");
    run_node(
        &world,
        6,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.groups("orders").await[0];
            assert_eq!(asker.produce(group, &["after"]).await, Ok(Offset(30)));
            let read = asker.read_all(group, 0).await.unwrap();
            let offsets: Vec<u64> = read.iter().map(|(offset, _)| *offset).collect();
            let expected: Vec<u64> = (0..20).chain(21..31).collect();
            assert_eq!(offsets, expected, "only the damaged record is gone");
        },
    );
}
