//! Tests of what a leader refuses, and of how a change is written.

use super::*;
use crate::entry::EntryKind;
use crate::ids::Term;

fn ids(list: &[u64]) -> Vec<ReplicaId> {
    list.iter().copied().map(ReplicaId).collect()
}

fn conf() -> Conf {
    Conf { learners: ids(&[4, 5]), ..Conf::of_voters(ids(&[1, 2, 3])) }
}

fn change(roles: &[(u64, Role)]) -> ConfChange {
    ConfChange { roles: roles.iter().map(|&(id, role)| (ReplicaId(id), role)).collect(), leave: Leave::Auto }
}

/// 1, 2 and 4 are alive; of the learners only 4 has the log; 9 was removed once.
fn check(roles: &[(u64, Role)]) -> Result<(), Refused> {
    let health = |id: ReplicaId| Health { alive: [1, 2, 4].contains(&id.0), caught_up: id.0 != 5 };
    change(roles).check(&conf(), |id| id == ReplicaId(9), health)
}

#[test]
fn changes_that_keep_a_live_majority_pass() {
    assert_eq!(check(&[(6, Role::Learner)]), Ok(()));
    assert_eq!(check(&[(4, Role::Voter)]), Ok(()), "a fourth voter");
    assert_eq!(check(&[(3, Role::Gone)]), Ok(()), "the dead one goes");
    assert_eq!(check(&[(3, Role::Gone), (4, Role::Voter)]), Ok(()), "and is replaced");
    assert_eq!(check(&[(5, Role::Gone)]), Ok(()), "a learner may always go");
}

#[test]
fn changes_that_risk_the_group_are_refused() {
    assert_eq!(check(&[(2, Role::Gone)]), Err(Refused::QuorumAtRisk), "with 3 dead, 2 must stay");
    assert_eq!(check(&[(2, Role::Learner)]), Err(Refused::QuorumAtRisk));
    assert_eq!(check(&[(5, Role::Voter)]), Err(Refused::NotCaughtUp(ReplicaId(5))));
    assert_eq!(check(&[(6, Role::Voter)]), Err(Refused::NotCaughtUp(ReplicaId(6))));
    assert_eq!(check(&[(9, Role::Learner)]), Err(Refused::Condemned(ReplicaId(9))));
}

#[test]
fn changes_without_sense_are_refused() {
    assert_eq!(check(&[]), Err(Refused::Invalid));
    assert_eq!(check(&[(0, Role::Learner)]), Err(Refused::Invalid));
    assert_eq!(check(&[(6, Role::Learner), (6, Role::Gone)]), Err(Refused::Invalid));
    assert_eq!(check(&[(1, Role::Gone), (2, Role::Gone), (3, Role::Learner)]), Err(Refused::Invalid));
}

#[test]
fn one_replica_is_a_simple_change_and_several_are_a_joint_one() {
    let written = |change: &ConfChange| {
        let entry = Entry { index: Index(1), term: Term(1), kind: EntryKind::Conf, data: change.encode() };
        decode(&entry)
    };
    let one = written(&change(&[(4, Role::Voter)]));
    assert_eq!((one.enter_joint(), one.leave_joint(), one.get_changes().len()), (None, false, 1));
    let two = change(&[(4, Role::Voter), (3, Role::Gone)]);
    assert_eq!(written(&two).enter_joint(), Some(true));
    assert_eq!(written(&ConfChange { leave: Leave::Explicit, ..two }).enter_joint(), Some(false));
}
