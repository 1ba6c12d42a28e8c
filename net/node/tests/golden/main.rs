//! Directories that earlier versions wrote, which every later version must open: unpacked, read and compared with the
//! listing beside each, checked, written to and started again, on the simulated machine and on the real one.
//!
//! A folder here holds the set of one version of the formats. Its files are never changed: a version that cannot open
//! them is broken. A new set, after a change of a format, is written into a new folder by
//! `FLUMEN_GOLDEN_WRITE=v2 cargo test -p flumen-node --test golden -- a_new_set`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test, helpers included"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/packed.rs"]
mod packed;

mod ground;
mod listing;
mod making;

use common::*;
use flumen_io::Host;
use flumen_io::mem::MemWorld;
use flumen_model::{Code, GroupId, Offset};
use flumen_wire::*;
use ground::{Ground, Real, Simulated, run, serve};
use listing::{Listing, Reader, check_text};
use making::checked;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The data directory on the simulated disk.
const DATA: &str = "/data";
/// All sets together are part of every checkout.
const SET_BYTES_MAX: usize = 200 * 1024;
const TOPIC_TO_DELETE: &str = "special.stamped";

/// One golden directory.
#[derive(Clone)]
struct Golden {
    /// Version and name.
    name: String,
    packed: Vec<u8>,
    /// What `check` said and the node held.
    text: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The golden directories of all versions.
fn all() -> Vec<Golden> {
    let mut all = Vec::new();
    let listed = |folder: &Path| -> Vec<PathBuf> {
        let mut entries: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    for version in listed(&folder()).into_iter().filter(|path| path.is_dir()) {
        for packed in
            listed(&version).into_iter().filter(|path| path.extension().is_some_and(|end| end == "zst"))
        {
            let name = packed.strip_prefix(folder()).unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(packed.with_extension("txt")).unwrap();
            all.push(Golden { name, packed: std::fs::read(&packed).unwrap(), text });
        }
    }
    all
}

fn put(golden: &Golden, ground: &impl Ground) {
    let (packed, data) = (golden.packed.clone(), ground.data().to_path_buf());
    run(ground, |host| async move { packed::unpack(&host, &packed, &data).await });
}

fn read<G: Ground>(ground: &G) -> Listing {
    serve(ground, |host, native| async move { Reader::connect(&host, native).await.listing().await })
}

/// What a golden text must be.
fn described(ground: &impl Ground) -> (String, Listing) {
    let check = check_text(&checked(ground), ground.data());
    let listing = read(ground);
    (check + &listing.text(), listing)
}

fn same(name: &str, found: &str, golden: &str) {
    let differs = found.lines().zip(golden.lines()).find(|(found, golden)| found != golden);
    if let Some((found, golden)) = differs {
        panic!("{name}: it says\n  {found}\nwhere it said\n  {golden}");
    }
    assert_eq!(found.lines().count(), golden.lines().count(), "{name} says more or less than it did");
}

/// Opens a golden directory, compares everything, goes on writing and starts again.
fn opens(golden: &Golden, ground: &impl Ground) {
    put(golden, ground);
    let (text, before) = described(ground);
    same(&golden.name, &text, &golden.text);
    let damage = checked(ground).damage;
    serve(ground, go_on);
    let after = read(ground);
    went_on(&golden.name, &before, &after);
    assert_eq!(checked(ground).damage, damage, "{}: no new damage", golden.name);
}

/// Does a little of everything on a node.
async fn go_on<H: Host>(host: H, native: SocketAddr) {
    let reader = Reader::connect(&host, native).await;
    for topic in reader.topics().await {
        for partition in &topic.partitions {
            let owner = reader.owner(partition.shard);
            write_on(owner, partition.group).await;
        }
        if topic.name == TOPIC_TO_DELETE {
            reader.control.ask(&DeleteTopicRequest { name: topic.name }).await.unwrap();
        }
    }
    let group = reader.control.create("after", 1).await[0];
    let position = Position { group, offset: Offset(0), leader_epoch: 0, metadata: "after".into() };
    let commit = CommitPositionsRequest { subscription: "after".into(), positions: vec![position] };
    reader.control.ask(&commit).await.unwrap();
}

/// Appends where that may be; a damaged partition says that it is.
async fn write_on<H: Host>(owner: &Asker<H>, group: GroupId) {
    let state = owner.ask(&DescribeRequest { groups: vec![group] }).await.unwrap().groups.remove(0);
    let written = owner.produce(group, &["one more", "and another"]).await;
    match state.state {
        GroupState::Healthy => assert_eq!(written, Ok(state.high_watermark)),
        _ => assert_eq!(written.unwrap_err().code, Code::Corrupt),
    }
}

/// All that was there is there, with what was added and without what was deleted.
fn went_on(name: &str, before: &Listing, after: &Listing) {
    for ((topic, number), partition) in &before.partitions {
        if topic == TOPIC_TO_DELETE {
            assert!(!after.topics.contains_key(topic), "{name}: the deleted topic is gone");
            continue;
        }
        assert_eq!(before.topics[topic], after.topics[topic]);
        let now = &after.partitions[&(topic.clone(), *number)];
        let what = format!("{name}: partition {topic}/{number}");
        let (was, is) = (up_to_damage(&partition.records), up_to_damage(&now.records));
        assert_eq!(was.iter().zip(is).find(|(was, is)| was != is), None, "{what} keeps its records");
        let whole = partition.head.contains("Healthy") && was.len() == partition.records.len();
        let added = if whole { 3 } else { 0 };
        assert_eq!(is.len(), was.len() + added, "{what}: a batch of two records");
    }
    for line in &before.positions {
        assert!(after.positions.contains(line), "{name}: the position {line} is kept");
    }
    assert!(after.positions.iter().any(|line| line.contains("after/0")), "{name}: positions are taken");
}

/// The lines before the one that says that reading ended in damage. A node that has met damage before says so by its
/// state instead.
fn up_to_damage(records: &[String]) -> &[String] {
    let damage = records.iter().position(|line| line.ends_with("Corrupt"));
    &records[..damage.unwrap_or(records.len())]
}

#[test]
fn directories_of_every_version_open_on_the_simulated_machine() {
    let all = all();
    assert!(all.len() >= making::ALL.len(), "the golden directories are there");
    for golden in all {
        opens(&golden, &Simulated(MemWorld::new()));
    }
}

#[test]
fn directories_of_every_version_open_on_the_real_machine() {
    for golden in all() {
        let Some(ground) = Real::new() else { return };
        opens(&golden, &ground);
    }
}

/// What one machine makes of a directory the other one reads: nothing in it depends on the host.
#[test]
fn a_packed_directory_is_the_directory() {
    let world = MemWorld::new();
    let golden = all().remove(0);
    put(&golden, &Simulated(world.clone()));
    let again = Golden { packed: packed::pack(&world, Path::new(DATA)), ..golden };
    let copy = MemWorld::new();
    put(&again, &Simulated(copy.clone()));
    let files = |world: &MemWorld| -> Vec<_> {
        world.files().into_iter().map(|(path, _)| (world.read_file(&path).unwrap(), path)).collect()
    };
    assert!(files(&world) == files(&copy));
}

/// Writes the set of a new version when it is asked to, by name of its folder, which must not be there.
#[test]
fn a_new_set_is_written_only_when_asked_and_never_over_an_old_one() {
    let Some(version) = std::env::var_os("FLUMEN_GOLDEN_WRITE") else { return };
    let folder = folder().join(version);
    std::fs::create_dir(&folder).expect("a new set has a folder of its own");
    let mut bytes = 0;
    for (name, make) in making::ALL {
        let packed = packed::pack(&make(), Path::new(DATA));
        let golden = Golden { name: name.to_string(), packed, text: String::new() };
        // What is written down is what comes out of the file, not what went in.
        let ground = Simulated(MemWorld::new());
        put(&golden, &ground);
        let (text, _) = described(&ground);
        bytes += golden.packed.len() + text.len();
        std::fs::write(folder.join(format!("{name}.zst")), &golden.packed).unwrap();
        std::fs::write(folder.join(format!("{name}.txt")), text).unwrap();
    }
    assert!(bytes <= SET_BYTES_MAX, "{bytes} bytes are too many for every checkout");
}
