//! The oracle: remembers every entry that was sent, written, acked or applied anywhere, and every leader. It
//! panics at the first contradiction.

use bytes::Bytes;
use flumen_replication::{Conf, Driver, Entry, EntryKind, Index, ReplicaId, Term};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Oracle {
    /// What is committed at each index.
    committed: BTreeMap<Index, Entry>,
    /// The one entry of each place and term, once it left its replica or reached a disk.
    entries: BTreeMap<(Index, Term), Entry>,
    /// Acked by a leader.
    acked: BTreeMap<Index, Bytes>,
    /// Proposed and waiting for its ack: by place, term and proposer.
    proposed: BTreeMap<(Index, Term), (Bytes, (ReplicaId, u64))>,
    leaders: BTreeMap<Term, (ReplicaId, u64)>,
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

    /// A replica was handed a committed entry.
    pub(crate) fn committed(&mut self, entry: &Entry) {
        let known = self.committed.entry(entry.index).or_insert_with(|| entry.clone());
        assert_eq!(known, entry, "two entries committed at one index");
        if let Some(acked) = self.acked.get(&entry.index) {
            assert_eq!(acked, &entry.data, "an acked write was replaced");
        }
    }

    /// A replica has applied the change at `index`.
    pub(crate) fn applied_conf(&mut self, index: Index, driver: &Driver) {
        // A replica that joined by a snapshot may know a learner a little before its change: itself.
        let voting = |conf: &Conf| Conf { learners: Vec::new(), ..conf.clone() };
        let conf = driver.confs().iter().find(|(at, _)| *at == index).map(|(_, conf)| voting(conf));
        let known = self.confs.entry(index).or_insert_with(|| conf.clone());
        assert_eq!(*known, conf, "a change of configuration has two outcomes");
    }

    pub(crate) fn proposed(&mut self, index: Index, driver: &Driver, boot: u64, data: Bytes) {
        // A sole voter may lose a term that nobody has seen, and use it again.
        self.proposed.insert((index, driver.term()), (data, (driver.id(), boot)));
    }

    /// A leader says that everything up to `commit` is committed: it would ack now.
    pub(crate) fn leads(&mut self, driver: &Driver, boot: u64) {
        let term = driver.term();
        let known = *self.leaders.entry(term).or_insert((driver.id(), boot));
        assert_eq!(known, (driver.id(), boot), "two leaders in term {term}");
        let due: Vec<_> =
            self.proposed.keys().filter(|key| key.1 == term && key.0 <= driver.commit()).copied().collect();
        for key in due {
            let (data, proposer) = self.proposed.remove(&key).expect("just seen");
            if proposer != known {
                continue; // Crashed since: nobody waits any more.
            }
            if let Some(committed) = self.committed.get(&key.0) {
                assert_eq!(committed.data, data, "another entry is committed than the one acked");
            }
            self.acked.insert(key.0, data);
            self.acks += 1;
        }
    }

    /// A new leader has every entry that was committed before its term.
    pub(crate) fn new_leader(&self, driver: &Driver) {
        for (index, entry) in self.committed.range(driver.start().index.next()..) {
            assert_eq!(driver.term_at(*index), Some(entry.term), "a leader lacks committed entry {index}");
        }
    }

    /// At the end: everything acked is committed, and this far.
    pub(crate) fn check_acks(&self, applied: Index) {
        for (index, data) in &self.acked {
            assert!(*index <= applied, "acked entry {index} was lost");
            let committed = self.committed.get(index).expect("an acked entry is committed");
            assert_eq!(&committed.data, data, "acked entry {index} was replaced");
        }
    }

    /// The last index that is known to be committed, and the configuration there.
    pub(crate) fn end(&self) -> Option<&Entry> {
        self.committed.last_key_value().map(|(_, entry)| entry)
    }

    pub(crate) fn committed_term(&self, index: Index) -> Option<Term> {
        self.committed.get(&index).map(|entry| entry.term)
    }

    /// Writes that were committed.
    pub(crate) fn writes(&self) -> usize {
        self.committed.values().filter(|e| matches!(e.kind, EntryKind::Batch | EntryKind::Command)).count()
    }
}
