//! The end of a topic: what still writes to its files is done before they go, a crash at any step of it leaves
//! nothing behind, and other topics never notice.
#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::print_stdout)]

mod common;
#[path = "common/packed.rs"]
mod packed;

use common::raw::request;
use common::*;
use flumen_io::Host;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_model::limits::Limits;
use flumen_model::{GroupId, Offset};
use flumen_node::check::check;
use flumen_wire::*;
use packed::{formatted, pack, unpacked};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const DATA: &str = "/data";
const SECOND: Duration = Duration::from_secs(1);

async fn create(asker: &Asker, name: &str, partitions: u32) -> Vec<GroupId> {
    let settings = [("retention.ms", "-1"), ("segment.bytes", "262144")];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    asker.ask(&CreateTopicRequest { name: name.into(), partitions, settings }).await.unwrap();
    asker.groups(name).await
}

/// A value that tells its number and is large.
fn large(number: u64, bytes: usize) -> String {
    let mut value = format!("{number}.");
    value.extend(std::iter::repeat_n('v', bytes));
    value
}

async fn fill(asker: &Asker, group: GroupId, from: u64, count: u64, bytes: usize) {
    for number in from..from + count {
        assert_eq!(asker.produce(group, &[&large(number, bytes)]).await, Ok(Offset(number)));
    }
}

/// All records of a group that [`fill`] wrote, in full.
async fn is_whole(asker: &Asker, group: GroupId, count: u64, bytes: usize) {
    let read = asker.read_all(group, 0).await.unwrap();
    let expected = (0..count).map(|number| (number, large(number, bytes)));
    assert!(read.into_iter().eq(expected), "group {group} has all that was acked and nothing else");
}

fn is_in(path: &Path, folder: &str) -> bool {
    path.to_string_lossy().contains(folder)
}

/// Folders that hold segments of topics.
fn topic_folders(world: &MemWorld) -> Vec<String> {
    let folder = |path: &PathBuf| {
        let text = path.to_string_lossy().into_owned();
        Some(text.split_once("/t/")?.1.split('/').next()?.to_string())
    };
    let mut folders: Vec<_> = world.files().iter().filter_map(|(path, _)| folder(path)).collect();
    folders.dedup();
    folders
}

thread_local! {
    /// The simulated machine runs on the test's own thread: there a client may look at the disk from outside.
    static DISK: RefCell<Option<MemWorld>> = const { RefCell::new(None) };
}

/// What is seen of a topic's files while it goes.
#[derive(Default)]
struct Watch {
    /// Files in the topic's folder and in the trash with their bytes, as they were seen last.
    folder: BTreeMap<PathBuf, u64>,
    trash: BTreeMap<PathBuf, Vec<u8>>,
    moved: bool,
    /// Whether a file grew after the topic's end was asked for.
    grew: bool,
}

impl Watch {
    fn look(&mut self, world: &MemWorld, topic: &str) {
        let files = world.files();
        let folder: BTreeMap<_, _> =
            files.iter().filter(|(path, _)| is_in(path, topic) && is_in(path, "/t/")).cloned().collect();
        let trash = files.iter().filter(|(path, _)| is_in(path, "/trash/"));
        let trash: BTreeMap<_, _> =
            trash.map(|(path, _)| (path.clone(), world.read_file(path).unwrap())).collect();
        self.moved |= !trash.is_empty();
        if self.moved {
            assert!(folder.is_empty(), "files appear where a topic was: {folder:?}");
        } else {
            self.grew |= !self.folder.is_empty()
                && folder.iter().any(|(path, bytes)| self.folder.get(path).is_none_or(|was| was < bytes));
        }
        for (path, bytes) in &trash {
            let was = self.trash.get(path);
            assert!(
                was.is_none_or(|was| was.starts_with(bytes)),
                "{} was written to in the trash",
                path.display()
            );
        }
        (self.folder, self.trash) = (folder, trash);
    }
}

/// Writes to two topics at once, deletes one in the middle, and watches its files. Tells whether it was still being
/// written when its end was asked for.
fn delete_under_load(packed: &[u8], seed: u64) -> bool {
    let world = unpacked(packed, Path::new(DATA));
    DISK.set(Some(world.clone()));
    let hit = Arc::new(AtomicBool::new(false));
    let told = hit.clone();
    let client = move |host: MemHost| async move {
        let asker = Asker::connect(&host, 0).await;
        let doomed = asker.groups("doomed").await;
        let topics = asker.ask(&MetadataRequest { topics: vec!["doomed".into()] }).await.unwrap().topics;
        let topic = topics[0].id.to_string();
        let kept = asker.groups("kept").await[0];
        let writers = [doomed[0], doomed[1], kept].map(|group| load(&host, group));
        let (asked, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let watched = host.spawn(watch(host.clone(), topic, asked.clone(), done.clone()));
        host.sleep(Duration::from_micros(4_000 + seed * 777)).await;
        asked.store(true, Ordering::Relaxed);
        asker.ask(&DeleteTopicRequest { name: "doomed".into() }).await.unwrap();
        host.sleep(SECOND).await;
        done.store(true, Ordering::Relaxed);
        told.store(watched.await, Ordering::Relaxed);
        let [_, _, written] = writers;
        let written = written.load(Ordering::Relaxed);
        assert!(written > BEFORE, "the other topic goes on");
        is_whole(&asker, kept, written, BYTES).await;
    };
    let seen = run_node(&world, seed, 1, config(1), |machine| machine, client);
    assert_eq!(seen.failed.get(), None, "seed {seed}");
    DISK.set(None);
    assert!(world.files().iter().all(|(path, _)| !is_in(path, "/trash/")), "the trash is empty");
    assert_eq!(topic_folders(&world).len(), 1, "only the other topic has files: {:?}", topic_folders(&world));
    let report = check(MemMachine::new(world, 5), DATA.into(), Limits::simulation()).unwrap();
    assert_eq!((report.topics, report.damage), (1, vec![]));
    hit.load(Ordering::Relaxed)
}

const BYTES: usize = 40_000;
/// Records of each partition before the load.
const BEFORE: u64 = 9;
const LOAD: u64 = 40;

/// Writes with several batches on the way until the topic is gone or all is written; counts what is acked.
fn load(host: &MemHost, group: GroupId) -> Arc<AtomicU64> {
    let acked = Arc::new(AtomicU64::new(BEFORE));
    let (count, host) = (acked.clone(), host.clone());
    let own = host.clone();
    drop(host.spawn(async move {
        let asker = Asker::connect(&own, 0).await;
        for first in (BEFORE..BEFORE + LOAD).step_by(4) {
            for number in first..first + 4 {
                let value = large(number, BYTES);
                let produce = ProduceRequest { group, acks: Acks::Quorum, batch: batch(&[&value]) };
                asker.send(request(number as u32, &produce)).await;
            }
            for _ in 0..4 {
                let Some((_, body)) = asker.reply().await else { return };
                if decode_reply::<ProduceRequest>(&body).is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }));
    acked
}

async fn watch(host: MemHost, topic: String, asked: Arc<AtomicBool>, done: Arc<AtomicBool>) -> bool {
    let mut watch = Watch::default();
    while !asked.load(Ordering::Relaxed) {
        host.sleep(Duration::from_micros(5)).await;
    }
    while !done.load(Ordering::Relaxed) {
        let world = DISK.with_borrow(|world| world.clone().expect("the test has put it there"));
        watch.look(&world, &topic);
        // What the disk does takes longer; once the topic is gone there is time.
        let gone = watch.moved && watch.trash.is_empty();
        let pause = if gone { SECOND / 100 } else { Duration::from_micros(if watch.moved { 25 } else { 5 }) };
        host.sleep(pause).await;
    }
    assert!(watch.moved, "the topic's files went to the trash");
    watch.grew
}

/// Two topics with several segments each, and records that lie in the journal alone.
fn two_topics() -> Vec<u8> {
    let world = formatted(config(1));
    run_node(
        &world,
        1,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let doomed = create(&asker, "doomed", 2).await;
            let kept = create(&asker, "kept", 1).await;
            for group in doomed.into_iter().chain(kept) {
                fill(&asker, group, 0, BEFORE, BYTES).await;
            }
        },
    );
    pack(&world, Path::new(DATA))
}

#[test]
fn nothing_writes_to_a_deleted_topic_once_its_files_are_in_the_trash() {
    let packed = two_topics();
    let hits = (0..12).filter(|seed| delete_under_load(&packed, *seed)).count();
    assert!(hits >= 3, "the topic was still being written in {hits} of 12 deletions only");
}

/// Deletes a topic on a directory and is stopped after so many polls, if that comes before the end. Tells whether the
/// deletion was acked, and how many polls it took in all.
fn delete_and_stop(world: &MemWorld, polls: u64) -> (bool, u64) {
    let acked = Arc::new(AtomicBool::new(false));
    let told = acked.clone();
    let client = |host: MemHost| async move {
        let asker = Asker::connect(&host, 0).await;
        asker.ask(&DeleteTopicRequest { name: "doomed".into() }).await.unwrap();
        told.store(true, Ordering::Relaxed);
        host.sleep(SECOND / 5).await;
    };
    let seen = run_node(world, 3, 1, config(1), |machine| machine.stop_after_polls(polls), client);
    assert_eq!(seen.failed.get(), None, "{polls} polls");
    (acked.load(Ordering::Relaxed), world.last_run().expect("a run").polls)
}

/// Starts a node where a deletion was cut short. The topic is there whole or gone; then nothing of it is left.
fn is_gone_or_whole(world: &MemWorld, acked: bool, what: &str) -> bool {
    let gone = Arc::new(AtomicBool::new(false));
    let told = gone.clone();
    let client = move |host: MemHost| async move {
        let asker = Asker::connect(&host, 0).await;
        is_whole(&asker, asker.groups("kept").await[0], BEFORE, BYTES).await;
        let doomed = asker.groups("doomed").await;
        told.store(doomed.is_empty(), Ordering::Relaxed);
        for group in doomed {
            is_whole(&asker, group, BEFORE, BYTES).await;
        }
        host.sleep(SECOND).await;
    };
    let seen = run_node(world, 4, 1, config(1), |machine| machine, client);
    assert_eq!(seen.failed.get(), None, "{what}");
    let gone = gone.load(Ordering::Relaxed);
    assert!(gone || !acked, "{what}: the deletion was acked");
    let left = if gone { 1 } else { 2 };
    assert_eq!(topic_folders(world).len(), left, "{what}: {:?}", topic_folders(world));
    assert!(world.files().iter().all(|(path, _)| !is_in(path, "/trash/")), "{what}: the trash is empty");
    let report = check(MemMachine::new(world.clone(), 5), DATA.into(), Limits::simulation()).unwrap();
    assert_eq!((report.topics, report.damage), (left, vec![]), "{what}");
    gone
}

#[test]
fn a_crash_at_any_step_of_a_deletion_leaves_the_topic_whole_or_nothing_of_it() {
    let packed = two_topics();
    let fresh = || unpacked(&packed, Path::new(DATA));
    let (acked, all) = delete_and_stop(&fresh(), u64::MAX);
    assert!(acked);
    let (mut in_place, mut in_trash, mut whole) = (0, 0, 0);
    // From the end back to where it has not begun.
    for polls in (1..all).rev() {
        if whole == 12 {
            break;
        }
        let world = fresh();
        let (acked, _) = delete_and_stop(&world, polls);
        let what = format!("stopped after {polls} of {all} polls");
        // A power loss after every other stop; and at times one more, while the next start cleans up.
        if polls % 2 == 0 {
            world.crash(polls);
        }
        let has_trash = world.files().iter().any(|(path, _)| is_in(path, "/trash/"));
        let has_place = topic_folders(&world).len() == 2;
        if polls % 3 == 0 {
            let again = |machine: MemMachine| machine.stop_after_polls(polls * 7 % all);
            run_node(&world, polls, 1, config(1), again, |host| async move { host.sleep(SECOND).await });
            world.crash(polls + 1);
        }
        let gone = is_gone_or_whole(&world, acked, &what);
        in_trash += usize::from(has_trash);
        in_place += usize::from(gone && has_place);
        whole += usize::from(!gone);
    }
    println!("{in_trash} stops with files in the trash, {in_place} before, {whole} before it was decided");
    assert!(in_trash >= 5 && in_place >= 2 && whole >= 12, "the crashes fall everywhere");
}
