//! The oracle: remembers every entry that was sent, written, acked or applied anywhere, and every leader. It
//! panics at the first contradiction.

use bytes::Bytes;
use flumen_replication::{Conf, Driver, Entry, EntryKind, Index, Point, ReplicaId, Term};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Oracle {
    /// What is committed at each index, and in which term somebody first knew it.
    committed: BTreeMap<Index, (Entry, Term)>,
    /// The one entry of each place and term, once it left its replica or reached a disk.
    entries: BTreeMap<(Index, Term), Entry>,
    /// Acked by a leader.
    acked: BTreeMap<Index, Bytes>,
    /// Proposed and waiting for its ack: by term, place and proposer.
    proposed: BTreeMap<(Term, Index), (Bytes, (ReplicaId, u64))>,
    leaders: BTreeMap<Term, (ReplicaId, u64)>,
    /// Who stood for election in the newest terms.
    candidates: BTreeMap<Term, ReplicaId>,
    /// The configuration that each change leads to, or that it was refused.
    confs: BTreeMap<Index, Option<Conf>>,
    pub(crate) acks: usize,
}

impl Oracle {
    /// An entry reached a disk or left its replica.
    pub(crate) fn seen(&mut self, entry: &Entry) {
        let known = self.entries.entry((entry.index, entry.term)).or_insert_with(|| entry.clone());
        assert_eq!(
            (known.kind, &known.data),
            (entry.kind, &entry.data),
            "two entries with one index and term: {entry:?}"
        );
    }

    /// A replica that is in this term was handed a committed entry.
    pub(crate) fn committed(&mut self, entry: &Entry, term: Term) {
        let (known, _) = self.committed.entry(entry.index).or_insert_with(|| (entry.clone(), term));
        assert_eq!(known, entry, "two entries committed at one index");
        if let Some(acked) = self.acked.get(&entry.index) {
            assert_eq!(acked, &entry.data, "an acked write was replaced");
        }
    }

    /// A replica has applied the change at `index`. True for the first one that has.
    pub(crate) fn applied_conf(&mut self, index: Index, driver: &Driver) -> bool {
        let conf = driver.confs().iter().find(|(at, _)| *at == index).map(|(_, conf)| voting(conf));
        let first = !self.confs.contains_key(&index);
        let known = self.confs.entry(index).or_insert_with(|| conf.clone());
        assert_eq!(*known, conf, "a change of configuration has two outcomes");
        first
    }

    /// A replica got a snapshot: its log begins behind `point`.
    pub(crate) fn installed(&self, point: &Point) {
        if let Some((entry, _)) = self.committed.get(&point.index) {
            assert_eq!(entry.term, point.term, "a snapshot of another log at {}", point.index);
        }
        let newest = self.confs.range(..=point.index).rev().find_map(|(_, conf)| conf.as_ref());
        if let Some(conf) = newest {
            assert_eq!(*conf, voting(&point.conf), "a snapshot with another configuration than at its point");
        }
    }

    pub(crate) fn proposed(&mut self, index: Index, driver: &Driver, boot: u64, data: Bytes) {
        // A sole voter may lose a term that nobody has seen, and use it again.
        self.proposed.insert((driver.term(), index), (data, (driver.id(), boot)));
    }

    /// A leader says that everything up to `commit` is committed: it would ack now. Gives how many it acks.
    pub(crate) fn leads(&mut self, driver: &Driver, boot: u64) -> usize {
        let term = driver.term();
        let known = *self.leaders.entry(term).or_insert((driver.id(), boot));
        assert_eq!(known, (driver.id(), boot), "two leaders in term {term}");
        let range = (term, Index(0))..=(term, driver.commit());
        let due: Vec<_> = self.proposed.range(range).map(|(key, _)| *key).collect();
        let mut acks = 0;
        for key in due {
            let (data, proposer) = self.proposed.remove(&key).expect("just seen");
            if proposer != known {
                continue; // Crashed since: nobody waits any more.
            }
            if let Some((committed, _)) = self.committed.get(&key.1) {
                assert_eq!(committed.data, data, "another entry is committed than the one acked");
            }
            self.acked.insert(key.1, data);
            acks += 1;
        }
        self.acks += acks;
        acks
    }

    /// A new leader has every entry that was committed before its term. (It may be an old one, that hears of its
    /// election late.)
    pub(crate) fn new_leader(&self, driver: &Driver) {
        let after_start = self.committed.range(driver.start().index.next()..);
        for (index, (entry, _)) in after_start.filter(|(_, (_, known))| *known < driver.term()) {
            assert_eq!(driver.term_at(*index), Some(entry.term), "a leader lacks committed entry {index}");
        }
    }

    /// A replica votes for itself. True if another one did so in the same term.
    pub(crate) fn stands(&mut self, id: ReplicaId, term: Term) -> bool {
        self.candidates.insert(term, id).is_some_and(|other| other != id)
    }

    /// At the end: everything acked is committed, and this far.
    pub(crate) fn check_acks(&self, applied: Index) {
        for (index, data) in &self.acked {
            assert!(*index <= applied, "acked entry {index} was lost");
            let (committed, _) = self.committed.get(index).expect("an acked entry is committed");
            assert_eq!(&committed.data, data, "acked entry {index} was replaced");
        }
    }

    /// The configurations that came into force, newest first, without their learners.
    pub(crate) fn confs(&self) -> impl Iterator<Item = &Conf> {
        self.confs.values().rev().flatten()
    }

    /// The last index that is known to be committed, and the configuration there.
    pub(crate) fn end(&self) -> Option<&Entry> {
        self.committed.last_key_value().map(|(_, (entry, _))| entry)
    }

    pub(crate) fn committed_term(&self, index: Index) -> Option<Term> {
        self.committed.get(&index).map(|(entry, _)| entry.term)
    }

    /// A committed change of configuration lies in `after..=to`.
    pub(crate) fn has_conf(&self, after: Index, to: Index) -> bool {
        let mut range = self.committed.range(after.next()..=to.max(after.next()));
        range.any(|(_, (entry, _))| entry.kind == EntryKind::Conf)
    }
}

/// A replica that joined by a snapshot may know a learner a little before its change: itself.
fn voting(conf: &Conf) -> Conf {
    Conf { learners: Vec::new(), ..conf.clone() }
}
