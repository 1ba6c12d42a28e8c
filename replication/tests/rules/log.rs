//! Rules 1 to 9: the log, its start, what a disk gives back, and what must be durable first.

use crate::common::{BIRTH, Ring, birth, config, id, ids};
use bytes::Bytes;
use flumen_replication::{
    Conf, ConfChange, Driver, Entry, EntryKind, HardState, Index, Leave, Point, Ready, ReplicaId, Restored,
    RestoredError, Role, Term,
};

/// Everything that a driver on its own has to write, made durable at once.
fn settle_alone(driver: &mut Driver) -> Vec<Ready> {
    let mut all = Vec::new();
    while let Some(ready) = driver.take_ready() {
        driver.persisted(ready.number);
        all.push(ready);
    }
    all
}

fn committed(driver: &mut Driver) -> Vec<Entry> {
    let mut out = Vec::new();
    driver.take_committed(&mut out);
    out
}

/// A group of one that leads, with an empty disk queue.
fn sole_leader() -> Driver {
    let mut driver = Driver::new(config(id(1)), birth([1]));
    driver.campaign(0);
    settle_alone(&mut driver);
    assert!(driver.is_leader());
    driver
}

fn entry(index: u64, term: u32, kind: EntryKind) -> Entry {
    let data = if kind == EntryKind::Batch { Bytes::from_static(b"batch") } else { Bytes::new() };
    Entry { index: Index(index), term: Term(term), kind, data }
}

/// A replica of `voters` with these entries behind its birth, all of term 1.
fn with_log(voters: u64, entries: Vec<Entry>, commit: u64) -> Restored {
    let last = entries.last().map_or(BIRTH, |entry| (entry.index, entry.term));
    Restored {
        hard_state: HardState { term: last.1, vote: ReplicaId::NONE, commit: Index(commit) },
        entries,
        last,
        ..birth(1..=voters)
    }
}

// 1. Changes are applied from committed entries, in order; an error is a no-op.

#[test]
fn rule_01_a_change_is_in_force_when_it_is_committed_and_not_before() {
    let mut driver = sole_leader();
    let before = driver.conf().clone();
    let index =
        driver.propose_conf(driver.conf_index(), &ConfChange::one(id(2), Role::Learner)).expect("taken");
    let ready = driver.take_ready().expect("an entry to write");
    assert_eq!(*driver.conf(), before, "appended is not committed");
    driver.persisted(ready.number);
    assert!(committed(&mut driver).iter().any(|entry| entry.index == index && entry.kind == EntryKind::Conf));
    assert_eq!((driver.conf_index(), driver.conf().learners.as_slice()), (index, &[id(2)][..]));
}

#[test]
fn rule_01_a_change_that_fails_is_a_no_op_and_still_applied() {
    // To leave a joint configuration that it is not in: refused by every replica when it is applied.
    let log = vec![entry(6, 1, EntryKind::Conf), entry(7, 1, EntryKind::Batch)];
    let mut driver = Driver::new(config(id(1)), with_log(3, log, 7));
    let out = committed(&mut driver);
    assert_eq!(out.iter().map(|entry| entry.index.0).collect::<Vec<_>>(), [6, 7]);
    assert_eq!((driver.conf_index(), driver.conf()), (BIRTH.0, &Conf::of_voters(ids(1..=3))));
}

// 2. At boot exactly the configuration in force at `applied`; the rest is replayed.

#[test]
fn rule_02_boot_takes_the_configuration_at_applied_and_replays_the_rest() {
    let mut ring = Ring::new(1);
    ring.write();
    let learner = ring.change(&[(2, Role::Learner)], Leave::Auto);
    ring.at(1).checkpoint(None);
    let later = ring.change(&[(3, Role::Learner)], Leave::Auto);
    ring.settle();
    let mut restored = ring.at(1).disk.durable.restored();
    assert!(restored.applied >= learner && restored.applied < later);
    // A record above the applied mark, as a crash between the two may leave it.
    restored.confs.push((later, Conf::of_voters(ids([9]))));

    let mut driver = Driver::new(config(id(1)), restored);
    assert_eq!((driver.conf_index(), driver.conf().learners.as_slice()), (learner, &[id(2)][..]));
    committed(&mut driver);
    assert_eq!((driver.conf_index(), driver.conf().learners.as_slice()), (later, &[id(2), id(3)][..]));
}

// 3. A cut keeps index, term and configuration at the cut.

#[test]
fn rule_03_a_cut_log_keeps_the_term_and_even_the_joint_configuration_of_its_start() {
    let mut ring = Ring::new(3);
    ring.write();
    let joint = ring.change(&[(2, Role::Learner), (3, Role::Learner)], Leave::Explicit);
    ring.write();
    let leader = ring.elect();
    let driver = ring.driver(leader.0);
    let at = driver.point_at(joint).expect("within the log");
    assert!(at.conf.is_joint());
    let before = driver.point_at(Index(joint.0 - 1)).expect("within the log");
    assert_eq!(before.conf, Conf::of_voters(ids(1..=3)));

    driver.compact(at.clone());
    assert_eq!((driver.start(), driver.conf(), driver.conf_index()), (&at, &at.conf, joint));
    assert_eq!(driver.term_at(joint), Some(at.term));
    let made_for = driver.conf_index();
    driver.propose_leave(made_for).expect("it leads and is joint");
    ring.run(5);
    assert!(!ring.driver(leader.0).conf().is_joint(), "it goes on as if nothing was cut");
}

#[test]
#[should_panic(expected = "only what is applied can be cut off")]
fn rule_03_a_cut_above_applied_is_a_bug() {
    let mut driver = sole_leader();
    let point = driver.point_at(driver.last_index()).expect("within the log");
    driver.compact(point);
}

#[test]
#[should_panic(expected = "a start has the term and configuration")]
fn rule_03_a_cut_with_another_configuration_is_a_bug() {
    let mut driver = sole_leader();
    let last = committed(&mut driver).last().expect("its first entry").index;
    driver.applied(last);
    let point = driver.point_at(last).expect("within the log");
    driver.compact(Point { conf: Conf::of_voters(ids([1, 2])), ..point });
}

// 4. A group is born behind a point; a replica that joins begins with a snapshot.

#[test]
#[should_panic(expected = "born behind a point")]
fn rule_04_a_group_is_never_born_at_zero() {
    Driver::birth(Point { index: Index(0), term: Term(1), conf: Conf::of_voters(ids([1])) });
}

#[test]
#[should_panic(expected = "born with voters")]
fn rule_04_a_group_is_never_born_without_voters() {
    Driver::birth(Point { index: Index(1), term: Term(1), conf: Conf::default() });
}

#[test]
fn rule_04_a_joining_replica_never_campaigns_and_begins_with_a_snapshot() {
    let mut ring = Ring::new(1);
    ring.write();
    ring.create(id(2), Restored::joining());
    ring.driver(2).campaign(0);
    for _ in 0..100 {
        ring.now += 1;
        ring.tick(id(2));
    }
    assert!(ring.wire.is_empty() && ring.driver(2).term() == Term(0));

    let leader = ring.elect();
    let driver = ring.driver(leader.0);
    driver.propose_conf(driver.conf_index(), &ConfChange::one(id(2), Role::Learner)).expect("taken");
    let mut snapshots = 0;
    for _ in 0..40 {
        ring.now += 1;
        [1, 2].into_iter().for_each(|n| ring.tick(id(n)));
        [1, 2].into_iter().for_each(|n| ring.sync(id(n), 9));
        for message in std::mem::take(&mut ring.wire) {
            snapshots += usize::from(message.is_snapshot());
            ring.deliver(message);
        }
    }
    assert_eq!((snapshots, ring.driver(2).start().index), (1, BIRTH.0));
    assert_eq!(ring.driver(2).last_index(), ring.driver(1).last_index());
}

// 5. One Ready is one atomic group; boot asserts, and never clamps.

#[test]
fn rule_05_a_replaced_tail_and_the_commit_that_covers_it_are_one_group() {
    // 3 has a tail of an old term that nobody else has; the new leader's entries and commit replace it.
    let mut ring = Ring::new(3);
    ring.elect_this(3);
    let common = ring.write();
    for _ in 0..3 {
        ring.propose(id(3)).expect("it leads");
    }
    ring.drain(id(3));
    ring.wire.clear();
    ring.sync(id(3), 9);
    ring.wire.clear();
    ring.run_without(60, &[3]);
    let leader = ring.leader().filter(|leader| *leader != id(3)).expect("the others have elected one");
    ring.propose(leader).expect("it leads");
    ring.run_without(3, &[3]);
    let stale = ring.driver(3).last_index();
    assert!(stale > common && ring.driver(leader.0).commit() > common);

    let mut replaced = false;
    for _ in 0..40 {
        ring.now += 1;
        (1..=3).for_each(|n| ring.tick(id(n)));
        for message in std::mem::take(&mut ring.wire) {
            ring.deliver(message);
        }
        let queue = &ring.at(3).disk.queue;
        let writes = queue.iter().filter_map(|group| match group {
            crate::common::disk::Group::Write(_, write) => Some(write),
            _ => None,
        });
        for write in writes {
            let over = write.hard_state.is_some_and(|state| state.commit > common);
            let replaces = write.entries.first().is_some_and(|entry| entry.index <= stale);
            assert!(
                !over || replaced || replaces,
                "a commit index before the entries that it is about: {write:?}"
            );
            replaced |= replaces;
        }
        (1..=3).for_each(|n| ring.sync(id(n), 9));
    }
    assert!(replaced);
}

#[test]
fn rule_05_a_state_out_of_order_is_refused_and_never_clamped() {
    let log = || vec![entry(6, 1, EntryKind::Batch), entry(7, 1, EntryKind::Batch)];
    assert_eq!(with_log(1, log(), 7).check(), Ok(()));
    let beyond = with_log(1, log(), 8);
    assert!(matches!(beyond.check(), Err(RestoredError::Order { .. })), "commit behind the last entry");
    let below = with_log(1, log(), 4);
    assert!(matches!(below.check(), Err(RestoredError::Order { .. })), "commit before the start");
    let gap = Restored { entries: vec![entry(7, 1, EntryKind::Batch)], ..with_log(1, log(), 7) };
    assert_eq!(gap.check(), Err(RestoredError::Gap(Index(6))));
}

#[test]
#[should_panic(expected = "out of order")]
fn rule_05_boot_panics_rather_than_guess() {
    Driver::new(config(id(1)), with_log(1, vec![entry(6, 1, EntryKind::Batch)], 9));
}

// 6. A snapshot is durable before anything else moves; then `applied` follows it.

#[test]
fn rule_06_nothing_moves_a_replica_whose_snapshot_is_not_durable() {
    let mut ring = Ring::new(3);
    ring.write();
    let driver = ring.driver(1);
    let last = driver.applied_index();
    let conf = driver.conf().clone();
    let term = driver.term();
    ring.run_without(3, &[3]);
    // 3 is far behind: the others cut their logs.
    for _ in 0..5 {
        let leader = ring.elect();
        ring.propose(leader).expect("it leads");
        ring.run_without(3, &[3]);
    }
    [1, 2].into_iter().for_each(|n| ring.at(n).checkpoint(Some(0)));
    ring.settle_without(&[3]);
    let installing = |ring: &mut Ring| {
        ring.at(3)
            .disk
            .queue
            .iter()
            .any(|group| matches!(group, crate::common::disk::Group::Write(_, w) if w.point.is_some()))
    };
    for _ in 0..100 {
        ring.now += 1;
        (1..=3).for_each(|n| ring.tick(id(n)));
        [1, 2].into_iter().for_each(|n| ring.sync(id(n), 9));
        if installing(&mut ring) {
            break;
        }
        ring.sync(id(3), 9);
        for message in std::mem::take(&mut ring.wire) {
            ring.deliver(message);
        }
    }
    assert!(installing(&mut ring), "3 got a snapshot");
    ring.wire.clear();
    // Forty ticks, messages of a newer term and the order to campaign: it does not move, and does not panic.
    let (now, before) = (ring.now, format!("{:?}", ring.driver(3)));
    (1..=40).for_each(|tick| ring.driver(3).tick(now + tick));
    ring.driver(3).campaign(now + 41);
    for n in [1, 2] {
        ring.driver(n).campaign(now);
        ring.drain(id(n));
        ring.deliver_to(3);
    }
    assert_eq!(format!("{:?}", ring.driver(3)), before);

    ring.sync(id(3), 9);
    let start = ring.driver(3).start().index;
    assert!(start > last && ring.driver(3).applied_index() >= start, "applied follows the snapshot");
    ring.driver(3).campaign(now + 50);
    ring.settle();
    ring.write();
    assert_eq!(ring.driver(3).conf(), &conf);
    assert!(ring.driver(3).term() >= term);
}

// 7. A new commit index alone is written too.

#[test]
fn rule_07_a_commit_index_alone_is_queued_without_a_flush_of_its_own() {
    let mut driver = sole_leader();
    let index = driver.propose(EntryKind::Batch, Bytes::from_static(b"x")).expect("it leads");
    let first = driver.take_ready().expect("an entry");
    assert!(first.write.must_sync && first.write.hard_state.is_none());
    driver.persisted(first.number);
    let second = driver.take_ready().expect("the commit index");
    assert!(!second.write.must_sync && second.write.entries.is_empty());
    assert_eq!(second.write.hard_state.map(|state| state.commit), Some(index));
}

// 8. A snapshot has the configuration at its point, and knows its receiver.

#[test]
fn rule_08_a_learner_younger_than_the_log_start_is_served_with_the_configuration_of_the_start() {
    let mut ring = Ring::new(3);
    let old = ring.write();
    let leader = ring.elect();
    (1..=3).for_each(|n| ring.at(n).checkpoint(Some(0)));
    ring.settle();
    assert!(ring.driver(leader.0).start().index >= old);
    ring.create(id(4), Restored::joining());
    let added = ring.change(&[(4, Role::Learner)], Leave::Auto);
    ring.run(30);
    let newcomer = ring.driver(4);
    assert!(newcomer.start().index < added, "the point lies before the entry that adds it");
    assert_eq!(newcomer.start().conf, Conf { learners: ids([4]), ..Conf::of_voters(ids(1..=3)) });
    ring.change(&[(4, Role::Voter)], Leave::Auto);
    ring.write();
    assert_eq!(ring.driver(4).conf(), &Conf::of_voters(ids(1..=4)));
    assert_eq!(ring.driver(1).conf(), &Conf::of_voters(ids(1..=4)), "the extra learner leaves no trace");
}

#[test]
fn rule_08_a_snapshot_never_has_a_newer_configuration_than_its_point() {
    let mut ring = Ring::new(3);
    ring.write();
    (1..=3).for_each(|n| ring.at(n).checkpoint(Some(0)));
    ring.settle();
    ring.create(id(4), Restored::joining());
    ring.create(id(5), Restored::joining());
    ring.change(&[(4, Role::Learner)], Leave::Auto);
    ring.change(&[(5, Role::Learner)], Leave::Auto);
    ring.run(40);
    assert_eq!(ring.driver(5).start().conf.learners, ids([5]), "not 4, which was added behind the point");
    assert_eq!(ring.driver(5).conf().learners, ids([4, 5]));
}

// 9. A sole voter says nothing before its term is durable, and stands only on settled ground.

#[test]
fn rule_09_a_sole_voter_sends_nothing_while_its_term_or_vote_is_not_durable() {
    let mut ring = Ring::new(1);
    ring.create(id(2), Restored::joining());
    ring.write();
    ring.change(&[(2, Role::Learner)], Leave::Auto);
    ring.run(30);
    let old = ring.driver(1).term();

    ring.at(1).crash(0);
    ring.restart(1);
    ring.propose(id(1)).expect("it leads at once");
    ring.drain(id(1));
    assert!(ring.driver(1).is_leader() && ring.driver(1).term() > old);
    (0..10).for_each(|_| ring.tick(id(1)));
    assert!(ring.wire.is_empty(), "no message of a term that a crash would take back: {:?}", ring.wire);
    ring.sync(id(1), 1);
    assert!(ring.wire.iter().any(|message| message.to() == id(2)), "now they leave");
}

#[test]
fn rule_09_a_sole_voter_with_a_write_in_flight_stands_for_election_when_it_is_durable() {
    let mut ring = Ring::new(2);
    ring.elect_this(2);
    ring.write();
    assert_eq!(ring.leader(), Some(id(2)));
    ring.wire.clear();
    // 2 removes itself and appends one more entry before the removal is committed.
    let driver = ring.driver(2);
    let removal =
        driver.propose_conf(driver.conf_index(), &ConfChange::one(id(2), Role::Gone)).expect("taken");
    ring.sync(id(2), 9);
    ring.deliver_to(1);
    ring.sync(id(1), 9);
    ring.propose(id(2)).expect("still leads");
    ring.drain(id(2));
    ring.deliver_to(1);
    ring.deliver_to(2);
    assert!(ring.driver(2).commit() >= removal && !ring.driver(2).is_leader());
    ring.sync(id(2), 9);
    // 1 learns that it is alone, with the entry behind the removal on its way to the disk.
    ring.deliver_to(1);
    assert!(ring.driver(1).is_sole_voter() && ring.driver(1).is_writing());
    let now = ring.now;
    (1..=40).for_each(|tick| ring.driver(1).tick(now + tick));
    ring.driver(1).campaign(now + 41);
    ring.drain(id(1));
    assert!(!ring.driver(1).is_leader(), "not over a log that is not durable");
    ring.sync(id(1), 9);
    assert!(ring.driver(1).is_leader(), "the order to campaign was kept");
}

#[test]
fn rule_09_one_voter_on_both_sides_of_a_joint_configuration_is_a_sole_voter_too() {
    let mut ring = Ring::new(3);
    ring.elect_this(1);
    ring.write();
    // 3 is told to stand at once, and asks for votes that arrive late.
    ring.driver(1).transfer_leader(id(3));
    ring.drain(id(1));
    ring.deliver_to(3);
    ring.sync(id(3), 9);
    let late = ring.wire.iter().find(|message| message.from() == id(3) && message.to() == id(1));
    let late = late.expect("a candidate asks for votes").clone();
    ring.wire.clear();
    // Meanwhile 1 is alone, and on its way to another learner: joint, with itself on both sides.
    ring.run_without(30, &[3]);
    ring.change_without(&[(2, Role::Learner), (3, Role::Gone)], Leave::Auto, &[3]);
    ring.run_without(10, &[3]);
    ring.change_without(&[(2, Role::Gone)], Leave::Explicit, &[3]);
    let driver = ring.driver(1);
    assert!(driver.is_leader() && driver.conf().is_joint() && driver.conf().voters == ids([1]));
    assert!(driver.is_sole_voter(), "nobody else is asked");

    // It has entries on their way to a slow disk, and hears of a newer term.
    ring.propose(id(1)).expect("it leads");
    ring.drain(id(1));
    ring.driver(1).step(late);
    ring.drain(id(1));
    assert!(!ring.driver(1).is_leader());
    let now = ring.now;
    (1..=40).for_each(|tick| ring.driver(1).tick(now + tick));
    ring.drain(id(1));
    assert!(!ring.driver(1).is_leader(), "not over a log that is not durable");
    ring.sync(id(1), 9);
    (41..=80).for_each(|tick| ring.driver(1).tick(now + tick));
    ring.sync(id(1), 9);
    assert!(ring.driver(1).is_leader());
}
