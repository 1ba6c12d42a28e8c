//! Tests of the configuration's codec and rules.

use super::*;
use proptest::prelude::*;

fn ids(list: &[u64]) -> Vec<ReplicaId> {
    list.iter().copied().map(ReplicaId).collect()
}

fn joint() -> Conf {
    Conf {
        voters: ids(&[1, 2, 4]),
        learners: ids(&[7]),
        voters_outgoing: ids(&[1, 2, 3]),
        learners_next: ids(&[3]),
        auto_leave: true,
    }
}

/// Any configuration that keeps the rules: each replica has one of seven standings.
fn any_conf() -> impl Strategy<Value = Conf> {
    (prop::collection::vec(0..7u8, 1..12), any::<bool>()).prop_map(|(standings, auto_leave)| {
        let with = |wanted: &[u8]| {
            let all = standings.iter().zip(1..);
            all.filter(|(standing, _)| wanted.contains(standing))
                .map(|(_, id)| ReplicaId(id))
                .collect::<Vec<_>>()
        };
        let voters_outgoing = with(&[1, 3, 4]);
        let mut conf = Conf {
            voters: with(&[0, 1]),
            learners: with(&[2]),
            learners_next: with(&[4]),
            auto_leave: auto_leave && !voters_outgoing.is_empty(),
            voters_outgoing,
        };
        conf.voters.push(ReplicaId(100));
        conf
    })
}

#[test]
fn golden_bytes() {
    let bytes = joint().encode();
    let mut golden = vec![1, 1, 3, 0, 1, 0, 3, 0, 1, 0];
    for id in [1u8, 2, 4, 7, 1, 2, 3, 3] {
        golden.extend_from_slice(&[id, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(bytes, golden);
    assert_eq!(Conf::default().encode(), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_newer_version_says_so() {
    let mut bytes = joint().encode();
    bytes[0] = 2;
    assert_eq!(Conf::decode(&bytes), Err(ConfError::Version(2)));
}

#[test]
fn contradictions_are_refused() {
    let broken: [fn(&mut Conf); 7] = [
        |conf| conf.voters = ids(&[2, 1]),
        |conf| conf.voters = ids(&[1, 1]),
        |conf| conf.learners = ids(&[0]),
        |conf| conf.learners = ids(&[2]),
        |conf| conf.learners_next = ids(&[9]),
        |conf| conf.voters.clear(),
        |conf| {
            conf.voters_outgoing.clear();
            conf.learners_next.clear();
        },
    ];
    assert_eq!(joint().check(), Ok(()));
    for (at, spoil) in broken.into_iter().enumerate() {
        let mut conf = joint();
        spoil(&mut conf);
        assert!(matches!(Conf::decode(&conf.encode()), Err(ConfError::Rule(_))), "case {at}");
    }
}

#[test]
fn every_member_is_counted_once() {
    assert_eq!(joint().members().collect::<Vec<_>>(), ids(&[1, 2, 3, 4, 7]));
    assert!(joint().is_voter(ReplicaId(3)) && !joint().is_sole_voter(ReplicaId(1)));
    let alone = Conf::of_voters(ids(&[5]));
    let both_sides = Conf { voters_outgoing: ids(&[5]), auto_leave: true, ..alone.clone() };
    let leaving = Conf { voters_outgoing: ids(&[5, 6]), ..alone.clone() };
    assert!(alone.is_sole_voter(ReplicaId(5)) && both_sides.is_sole_voter(ReplicaId(5)));
    assert!(!leaving.is_sole_voter(ReplicaId(5)) && !alone.is_sole_voter(ReplicaId(6)));
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(conf in any_conf()) {
        prop_assert_eq!(conf.check(), Ok(()));
        prop_assert_eq!(Conf::decode(&conf.encode()), Ok(conf.clone()));
        prop_assert_eq!(Conf::from_raft(&conf.to_raft()), conf);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(conf) = Conf::decode(&bytes) {
            prop_assert_eq!(conf.encode(), bytes);
        }
    }

    #[test]
    fn a_damaged_configuration_never_panics(conf in any_conf(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = conf.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Conf::decode(&bytes);
        let _ = Conf::decode(&bytes[..at]);
    }
}
