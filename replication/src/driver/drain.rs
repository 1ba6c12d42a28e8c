//! What goes out: Readys to the disk and the network, committed entries to the state machine. It must never give
//! a message before its time, nor an entry twice.

use super::Driver;
use crate::change;
use crate::conf::Conf;
use crate::entry::{Entry, EntryKind};
use crate::ids::Index;
use crate::ready::{Ready, Write};
use crate::state::{HardState, Point};
use raft::eraftpb;

/// An empty buffer larger than this gives its memory back.
const IDLE_CAPACITY: usize = 16;

impl Driver {
    /// All work for disk and network that there is now, or `None`. Ask after every call that feeds the driver,
    /// or once for a whole bunch of them: the more comes together, the fewer journal groups.
    pub fn take_ready(&mut self) -> Option<Ready> {
        self.pump();
        if self.backlog.is_empty() && !self.flight.has_released() {
            return None;
        }
        self.given = self.number;
        let write = std::mem::take(&mut self.backlog);
        Some(Ready { number: self.number, write, send: self.flight.take_released() })
    }

    /// Moves everything that Raft has ready to where the caller takes it from.
    fn pump(&mut self) {
        loop {
            self.try_campaign();
            if std::mem::take(&mut self.broadcast) && self.is_leader() {
                self.raw.raft.bcast_append();
            }
            if !self.raw.has_ready() {
                return;
            }
            self.absorb();
        }
    }

    /// Takes one Ready of Raft's apart.
    fn absorb(&mut self) {
        let mut ready = self.raw.ready();
        self.number = ready.number();
        let committed = ready.take_committed_entries();
        let write = Write {
            point: point_of(ready.snapshot()),
            hard_state: ready.hs().map(HardState::from_raft),
            entries: ready.take_entries().into_iter().map(Entry::from_raft).collect(),
            must_sync: ready.must_sync(),
        };
        let now = ready.take_messages();
        let at_once = !now.is_empty();
        let messages = if at_once { now } else { ready.take_persisted_messages() };
        // Raft must find in the view what it gives away here.
        if let Some(point) = &write.point {
            self.committed.clear();
            self.raw.mut_store().install(point.clone());
        }
        self.raw.mut_store().append(&write.entries);
        self.raw.advance_append_async(ready);
        shrink_idle(&mut self.raw.raft.raft_log.unstable.entries);
        self.launch(&write);
        self.post(messages, at_once);
        self.backlog.merge(write);
        self.apply(committed);
    }

    fn launch(&mut self, write: &Write) {
        let ballot = write.hard_state.map_or(self.ballot, |state| (state.term, state.vote));
        let new_ballot = std::mem::replace(&mut self.ballot, ballot) != ballot;
        if write.must_sync {
            let point = write.point.as_ref().map(|point| point.index.0);
            self.flight.launch(self.number, new_ballot, point);
        } else if self.flight.is_empty() {
            // Nothing to wait for; Raft still wants to hear it, or it would remember this Ready for ever.
            self.raw.on_persist_ready(self.number);
        }
    }

    fn post(&mut self, messages: Vec<eraftpb::Message>, at_once: bool) {
        if messages.is_empty() {
            return;
        }
        let all = messages.len();
        let messages: Vec<_> = messages.into_iter().filter(is_whole).map(crate::Message).collect();
        self.tally.messages_not_whole += (all - messages.len()) as u32;
        for message in messages.iter().filter(|message| message.is_snapshot()) {
            self.snapshots.retain(|(id, _)| *id != message.to());
            self.snapshots.push((message.to(), self.now_ticks));
        }
        self.tally.messages_held += self.flight.send(messages, at_once);
    }

    /// Applies changes of configuration in their order, then tells Raft how far it is applied.
    fn apply(&mut self, entries: Vec<eraftpb::Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        let log_end = self.last_index();
        for entry in entries {
            let entry = Entry::from_raft(entry);
            if entry.kind == EntryKind::Conf {
                self.apply_conf(&entry);
            }
            self.committed.push(entry);
        }
        self.raw.advance_apply_to(last);
        // Raft appends the end of a joint configuration by itself, but tells nobody.
        self.broadcast |= self.last_index() > log_end;
    }

    /// A change that Raft refuses here is refused on every replica: a no-op, applied all the same.
    fn apply_conf(&mut self, entry: &Entry) {
        let Ok(state) = self.raw.apply_conf_change(&change::decode(entry)) else { return };
        let conf = Conf::from_raft(&state);
        let votes = conf.is_voter(self.config.id);
        self.raw.mut_store().note_conf(entry.index, conf);
        if self.is_leader() && !votes {
            // Raft would drive it on as a leader, and panic at its next commit.
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, 0);
            self.tally.step_downs += 1;
        }
        if !self.is_leader() {
            self.raw.raft.maybe_free_inflight_buffers();
        }
    }

    /// Everything up to the Ready of this number is durable. Messages and commits that waited for it come with
    /// the next [`Driver::take_ready`].
    ///
    /// # Panics
    /// When no such Ready was given.
    pub fn persisted(&mut self, number: u64) {
        assert!(number <= self.given, "only what was given can be durable");
        let point = self.flight.land(number);
        // What stands between two writes had nothing to write.
        let done = self.flight.oldest().map_or(self.number, |oldest| oldest - 1);
        self.raw.on_persist_ready(done);
        if let Some(index) = point {
            // Raft does not do it by itself, and would look for entries that are gone.
            self.raw.advance_apply_to(index);
            self.applied = self.applied.max(Index(index));
        }
    }

    /// Moves the entries to `out` that are newly committed and durable here, in order, each once. Changes of
    /// configuration among them are applied already.
    pub fn take_committed(&mut self, out: &mut Vec<Entry>) {
        self.pump();
        out.append(&mut self.committed);
        shrink_idle(&mut self.committed);
    }

    /// Moves the start of the log to `to`, which is durable as such: entries up to there will not be asked for
    /// again. Nothing happens when the log starts there or later already.
    ///
    /// # Panics
    /// When `to` is not applied, or not what [`Driver::point_at`] gives.
    pub fn compact(&mut self, to: Point) {
        assert!(to.index <= self.applied, "only what is applied can be cut off");
        if to.index > self.start().index {
            let known = self.raw.mut_store().cut(to.index);
            assert_eq!(known, to, "a start has the term and configuration that were in force there");
        }
    }

    /// The start that a log cut at `index` has: its term, and the configuration in force **there**. `None` if
    /// the log does not reach there.
    pub fn point_at(&self, index: Index) -> Option<Point> {
        self.raw.store().point_at(index)
    }
}

/// Raft puts entries that follow into a message to the same follower that still waits here. If that one has no
/// entries yet, it does not look whether the new ones begin where the message says, or whether the message is of
/// an older term: a follower would answer for places that it does not have. Such a message is lost; Raft expects
/// no less of a network, and sends again.
fn is_whole(m: &eraftpb::Message) -> bool {
    match (m.entries.first(), m.entries.last()) {
        (Some(first), Some(last)) => {
            let dense = last.index == m.index + m.entries.len() as u64;
            first.index == m.index + 1 && dense && last.term <= m.term
        }
        _ => true,
    }
}

/// Ten thousand idle groups must not each keep the memory of their largest burst.
fn shrink_idle<T>(buffer: &mut Vec<T>) {
    if buffer.is_empty() && buffer.capacity() > IDLE_CAPACITY {
        *buffer = Vec::new();
    }
}

fn point_of(snapshot: &eraftpb::Snapshot) -> Option<Point> {
    if snapshot.is_empty() {
        return None;
    }
    let metadata = snapshot.get_metadata();
    Some(Point {
        index: Index(metadata.index),
        term: crate::ids::Term::from_raft(metadata.term),
        conf: Conf::from_raft(metadata.get_conf_state()),
    })
}
