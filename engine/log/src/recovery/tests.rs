//! Recovery of damaged groups: nothing acked goes, and the journal moves on without them.

use super::*;
use crate::segment::ReadBudget;
use crate::shard_log::LogEvents;
use bytes::BytesMut;
use flumen_io::Machine;
use flumen_io::mem::{MemHost, MemMachine, MemWorld};
use flumen_model::batch::{BatchBuilder, Compression, assign};
use flumen_model::limits::{JOURNAL_BYTES_MIN, JOURNAL_FILES, Limits};
use flumen_model::{PartitionNumber, ShardId, TopicId, UnixMillis};
use flumen_replication::{Conf, Index, ReplicaId, Term, Write};
use std::sync::mpsc;

const GROUP: GroupId = GroupId::FIRST_DATA;
const REPLICA: ReplicaId = ReplicaId(7);

fn spec() -> ShardLogSpec {
    ShardLogSpec {
        dir: "/data/0".into(),
        directory_id: uuid::Uuid::from_u128(1),
        shard: ShardId(0),
        journal_file_bytes: JOURNAL_BYTES_MIN / JOURNAL_FILES as u64,
        journal_files: JOURNAL_FILES,
        reserve_bytes: Limits::simulation().disk_reserve_bytes,
        limits: Limits::simulation(),
    }
}

/// An engine without machines of its own.
struct Quiet;

impl LogEvents for Quiet {
    fn durable(&self, _: &[(GroupId, u64)]) {}

    fn machine_snapshot(&self, _: GroupId) -> Option<Bytes> {
        Some(Bytes::new())
    }

    fn checkpointed(&self, _: GroupId, _: Point) {}

    fn roll_limits(&self, _: GroupId) -> RollLimits {
        RollLimits { segment_bytes: 1 << 20, segment_ms: u64::MAX }
    }
}

impl Replay for Quiet {
    fn restore(&mut self, _: GroupId, _: &GroupState) -> Result<()> {
        Ok(())
    }

    fn apply(&mut self, _: GroupId, _: &Entry) -> Result<Option<Offset>> {
        Ok(None)
    }
}

fn run<F: Future<Output = ()> + 'static>(
    world: &MemWorld,
    seed: u64,
    main: impl FnOnce(MemHost) -> F + Send + 'static,
) {
    let (done, ended) = mpsc::channel();
    let main = move |host| async move {
        main(host).await;
        done.send(()).expect("the test waits");
    };
    MemMachine::new(world.clone(), seed).run(vec![main]).expect("the run ends");
    ended.recv().expect("the main ran to its end");
}

/// The batch of one record with this offset, which is also its place behind the birth.
fn entry(offset: u64) -> Entry {
    let mut builder = BatchBuilder::new(1 << 16, Compression::None).expect("no codec is needed");
    builder.append(UnixMillis(1), None, Some(b"value"), &[]).expect("fits");
    let mut data = BytesMut::from(&builder.finish()[..]);
    assign(&mut data, Offset(offset), 1);
    Entry { index: Index(offset + 2), term: Term(1), kind: EntryKind::Batch, data: data.freeze() }
}

fn write(offsets: std::ops::Range<u64>, commit: u64) -> Write {
    let hard_state = HardState { term: Term(1), vote: REPLICA, commit: Index(commit) };
    Write {
        point: None,
        hard_state: Some(hard_state),
        entries: offsets.map(entry).collect(),
        must_sync: true,
    }
}

async fn opened(host: &MemHost) -> (Recovered<MemHost>, impl Future<Output = Result<()>> + use<'_>) {
    let recovered = recover(host, spec(), &mut Quiet).await.expect("a sound directory");
    let log = recovered.log.clone();
    let writer = host.spawn(async move { log.run_writer(Rc::new(Quiet)).await });
    (recovered, writer)
}

#[test]
fn a_damaged_group_keeps_what_only_its_journal_has_and_no_journal_file_with_it() {
    let world = MemWorld::new();
    run(&world, 1, |host| async move {
        host.create_dir_all(&spec().dir).await.expect("made");
        journal::format(&host, &spec().journal_spec(), |_, _| {}).await.expect("space");
        let (recovered, writer) = opened(&host).await;
        let start = Point { index: Index(1), term: Term(1), conf: Conf::of_voters([REPLICA]) };
        let topic = TopicId(uuid::Uuid::from_u128(5));
        let log = recovered.log.create_group(GROUP, topic, PartitionNumber(0), REPLICA, start);
        // Ten are applied when the rot is noted, five more are acked, and nothing says that these are committed.
        recovered.log.write(&log, 1, &write(0..10, 11));
        (0..10).for_each(|offset| recovered.log.apply(&log, &entry(offset)));
        assert!(log.note_rot(Offset(4)) && !log.note_rot(Offset(6)), "only the lowest is news");
        recovered.log.checkpoint(&log, &Quiet).await.expect("space");
        recovered.log.write(&log, 2, &write(10..15, 11));
        recovered.log.close();
        writer.await.expect("sound");
    });
    for seed in [2, 3] {
        run(&world, seed, |host| async move {
            let (recovered, writer) = opened(&host).await;
            let group = &recovered.groups[0];
            assert!(group.restored.is_none(), "it neither leads nor votes");
            let log = group.log.clone();
            assert_eq!(log.damaged(), Some(Damaged { from: Offset(4), to: Offset(4) }));
            assert_eq!(log.high_watermark(), Offset(15));
            let segments = log.segments().expect("a partition");
            let budget = ReadBudget::new(1 << 20, 1 << 17);
            let read = segments.read(&host, &budget, Offset(0), Offset(15), 1 << 20).await.expect("intact");
            let bytes: Vec<u8> = read.concat();
            let expected: Vec<u8> = (0..15).flat_map(|offset| entry(offset).data.to_vec()).collect();
            assert!(bytes == expected);
            // A new file was begun: the old one can be freed, for all that the damaged group has to say.
            let events: Rc<dyn LogEvents> = Rc::new(Quiet);
            assert!(recovered.log.free_oldest(&events).await.expect("space"));
            recovered.log.close();
            writer.await.expect("sound");
        });
    }
}

/// An engine whose groups have large machines: their checkpoints come in parts.
struct Large(usize);

impl LogEvents for Large {
    fn durable(&self, _: &[(GroupId, u64)]) {}

    fn machine_snapshot(&self, _: GroupId) -> Option<Bytes> {
        Some(vec![7; self.0].into())
    }

    fn checkpointed(&self, _: GroupId, _: Point) {}

    fn roll_limits(&self, group: GroupId) -> RollLimits {
        Quiet.roll_limits(group)
    }
}

fn birth() -> Point {
    Point { index: Index(1), term: Term(1), conf: Conf::of_voters([REPLICA]) }
}

#[test]
fn a_checkpoint_in_parts_lives_as_long_as_the_file_of_its_first_part() {
    // A small one first; the large one's first parts then fit into the file, and its last do not.
    for small in [1 << 10, 1 << 20, 3 << 20] {
        let world = MemWorld::new();
        run(&world, 1, move |host| async move {
            host.create_dir_all(&spec().dir).await.expect("made");
            journal::format(&host, &spec().journal_spec(), |_, _| {}).await.expect("space");
            let (recovered, writer) = opened(&host).await;
            let topic = TopicId(uuid::Uuid::from_u128(5));
            let log = recovered.log.create_group(GROUP, topic, PartitionNumber(0), REPLICA, birth());
            let events: Rc<dyn LogEvents> = Rc::new(Large(10 << 20));
            for (done, events) in [(2, &Large(small) as &dyn LogEvents), (3, &*events)] {
                recovered.log.checkpoint(&log, events).await.expect("space");
                while recovered.log.stats().checkpoints < done {
                    host.sleep(Duration::from_millis(1)).await;
                }
            }
            assert_eq!(recovered.log.journal().current_seq(), 2);
            assert!(recovered.log.free_oldest(&events).await.expect("space"));
            // The next file that is begun says which are live.
            let other = GroupId(GROUP.0 + 1);
            let log = recovered.log.create_group(other, topic, PartitionNumber(1), REPLICA, birth());
            recovered.log.checkpoint(&log, &*events).await.expect("space");
            recovered.log.close();
            writer.await.expect("sound");
        });
        for seed in [2, 3] {
            run(&world, seed, move |host| async move {
                let (recovered, writer) = opened(&host).await;
                assert_eq!(recovered.groups.len(), 2, "behind one of {small} bytes");
                let events: Rc<dyn LogEvents> = Rc::new(Quiet);
                // Recovery knows as well where the checkpoint began.
                assert!(recovered.log.free_oldest(&events).await.expect("space"));
                let log = recovered.log.group(GroupId(GROUP.0 + 1)).expect("it is there");
                recovered.log.checkpoint(&log, &Large(10 << 20)).await.expect("space");
                recovered.log.close();
                writer.await.expect("sound");
            });
        }
    }
}

#[test]
fn a_group_whose_state_is_lost_leaves_traces_and_takes_its_place_as_damaged() {
    let world = MemWorld::new();
    let other = GroupId(GROUP.0 + 1);
    let topic = TopicId(uuid::Uuid::from_u128(5));
    run(&world, 1, move |host| async move {
        host.create_dir_all(&spec().dir).await.expect("made");
        journal::format(&host, &spec().journal_spec(), |_, _| {}).await.expect("space");
        let (recovered, writer) = opened(&host).await;
        assert_eq!(recovered.traces.lost(GROUP), None, "nothing was ever born here");
        // As if the file with the birth had been freed too early.
        recovered.log.write(
            &GroupLog::new(GROUP, GroupState::birth(topic, PartitionNumber(0), REPLICA, birth()), None),
            1,
            &write(3..10, 11),
        );
        recovered.log.create_group(other, topic, PartitionNumber(1), REPLICA, birth());
        recovered.log.close();
        writer.await.expect("sound");
    });
    run(&world, 2, move |host| async move {
        let (recovered, writer) = opened(&host).await;
        let lost = recovered.traces.lost(GROUP).expect("its frames are there");
        assert_eq!((lost.end, lost.index_max), (Offset(10), Index(11)));
        assert_eq!(recovered.traces.lost(GroupId(other.0 + 1)), None, "a newer group is new");
        recovered.log.create_lost_group(GROUP, topic, PartitionNumber(0), REPLICA, birth(), lost);
        recovered.log.close();
        writer.await.expect("sound");
    });
    run(&world, 3, move |host| async move {
        let (recovered, writer) = opened(&host).await;
        let group =
            recovered.groups.iter().find(|group| group.log.group() == GROUP).expect("it is there now");
        assert!(group.restored.is_none(), "it neither leads nor votes");
        assert_eq!(group.log.damaged(), Some(Damaged { from: Offset(0), to: Offset(10) }));
        group.log.accept_loss();
        assert_eq!(group.log.high_watermark(), Offset(10));
        recovered.log.checkpoint(&group.log, &Quiet).await.expect("space");
        recovered.log.close();
        writer.await.expect("sound");
    });
    run(&world, 4, move |host| async move {
        let (recovered, writer) = opened(&host).await;
        let group = recovered.groups.iter().find(|group| group.log.group() == GROUP).expect("it is there");
        assert!(group.restored.is_some() && group.log.damaged().is_none());
        assert_eq!(group.log.high_watermark(), Offset(10), "it goes on behind what was lost");
        recovered.log.close();
        writer.await.expect("sound");
    });
}
