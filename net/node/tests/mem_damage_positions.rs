//! Rot in the positions of subscriptions: they are refused where they are asked for, and keep nothing else from being
//! served.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;

use common::*;
use flumen_io::mem::MemWorld;
use flumen_model::{Code, GroupId, Offset};
use flumen_wire::*;

const SUBSCRIPTION: &str = "who-keeps-its-place";

fn commit(group: GroupId, offset: u64) -> CommitPositionsRequest {
    let position = Position { group, offset: Offset(offset), leader_epoch: 0, metadata: String::new() };
    CommitPositionsRequest { subscription: SUBSCRIPTION.into(), positions: vec![position] }
}

/// Flips a bit of the first commit in the journal.
fn rot_a_commit(world: &MemWorld) {
    let needle = SUBSCRIPTION.as_bytes();
    for (path, _) in world.files() {
        let bytes = world.read_file(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            return world.corrupt(&path, at as u64, 0x40).unwrap();
        }
    }
    panic!("no commit is on the disk");
}

#[test]
fn damaged_positions_are_refused_and_every_topic_is_served() {
    let world = MemWorld::new();
    let filled = |host| async move {
        let asker = Asker::connect(&host, 0).await;
        let group = asker.create("orders", 1).await[0];
        for number in 0..5 {
            asker.produce(group, &["one"]).await.unwrap();
            asker.ask(&commit(group, number)).await.unwrap();
        }
    };
    run_node(&world, 1, 1, config(1), |machine| machine, filled);
    rot_a_commit(&world);
    // Twice: the damage is remembered.
    for seed in [2, 3] {
        let asks = move |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.groups("orders").await[0];
            assert!(asker.produce(group, &["more"]).await.is_ok());
            let fetch = FetchPositionsRequest { subscription: SUBSCRIPTION.into() };
            assert_eq!(asker.ask(&fetch).await.unwrap_err().code, Code::Corrupt);
            assert_eq!(asker.ask(&ListSubscriptionsRequest {}).await.unwrap_err().code, Code::Corrupt);
            assert_eq!(asker.ask(&commit(group, 1)).await.unwrap_err().code, Code::Corrupt);
            let name = format!("made-in-life-{seed}");
            asker.create(&name, 1).await;
            asker.ask(&DeleteTopicRequest { name }).await.expect("positions are not needed for that");
        };
        run_node(&world, seed, 1, config(1), |machine| machine, asks);
    }
}
