//! What comes in: ticks, messages, reports, and the order to campaign. It must never let anything move a replica
//! whose disk is not there yet where the rules forbid it.

use super::Driver;
use crate::entry::Entry;
use crate::ids::{Index, ReplicaId};
use crate::jitter::election_timeout;
use crate::message::Message;
use crate::view::Fetch;
use raft::eraftpb::MessageType;
use raft::{ProgressState, SnapshotStatus};

impl Driver {
    /// Stands for election at once. A sole voter leads when its next Readys are taken; others ask for votes.
    /// If the replica must wait (for its disk, or for entries to be taken), it campaigns as soon as it may.
    pub fn campaign(&mut self, now_ticks: u64) {
        self.now_ticks = now_ticks;
        self.wants_campaign = true;
        self.try_campaign();
    }

    pub(super) fn try_campaign(&mut self) {
        if !self.wants_campaign {
            return;
        }
        if self.is_installing() || self.must_settle() {
            self.tally.elections_held += 1;
            return;
        }
        let log = &self.raw.raft.raft_log;
        if log.applied < log.committed.min(log.persisted) {
            return; // A change of configuration may be among what is not taken yet.
        }
        self.wants_campaign = false;
        if !self.is_leader() && self.raw.raft.promotable() {
            self.raw.campaign().expect("Raft takes its own order");
        }
    }

    /// One tick of the caller's clock. `now_ticks` is the time in ticks; it only goes into election timeouts and
    /// the age of snapshots. Not needed while [`Driver::needs_ticks`] says so.
    pub fn tick(&mut self, now_ticks: u64) {
        self.now_ticks = now_ticks;
        if self.is_installing() || self.must_settle() {
            self.tally.ticks_held += 1;
            return;
        }
        // Raft draws its timeouts by chance, and reads them nowhere but in its tick: so set ours right before.
        let Driver { config, raw, .. } = self;
        let term = raw.raft.term;
        let timeout =
            election_timeout(config.seed, config.id.0, term, now_ticks, config.election_ticks, config.rank);
        raw.raft.set_randomized_election_timeout(timeout);
        raw.tick();
        self.give_up_lost_snapshots();
        self.trim();
    }

    /// A message from another replica of the group. Strays are dropped: messages for another replica, proposals
    /// (nobody forwards here), and everything while a snapshot is on its way to the disk.
    pub fn step(&mut self, message: Message) {
        let m = &message.0;
        if m.to != self.config.id.0
            || m.from == m.to
            || u32::try_from(m.term).is_err()
            || self.is_installing()
        {
            self.tally.messages_dropped += 1;
            return;
        }
        match message.kind() {
            MessageType::MsgAppend
            | MessageType::MsgAppendResponse
            | MessageType::MsgHeartbeat
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgSnapshot
            | MessageType::MsgRequestVote => {}
            MessageType::MsgRequestPreVote => self.adopt_term(m.term),
            MessageType::MsgTimeoutNow
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVoteResponse => {
                if self.must_settle() {
                    self.tally.elections_held += 1;
                    return;
                }
            }
            _ => return,
        }
        // An answer from a replica that is no member any more is an error to Raft, and nothing to us.
        let _ = self.raw.step(message.0);
    }

    /// Before a pre-vote for `term`: its sender is at the term before. Raft answers a pre-vote of a newer term
    /// with its own older one, which the sender drops, together with the commit index that it needs: a group
    /// could stay without a leader for ever. To hear from the sender is as good as to hear from that term.
    fn adopt_term(&mut self, term: u64) {
        let raft = &mut self.raw.raft;
        let hears_leader = raft.leader_id != 0 && raft.election_elapsed < raft.election_timeout();
        if term > raft.term + 1 && !hears_leader {
            raft.become_follower(term - 1, 0);
            self.tally.terms_adopted += 1;
        }
    }

    /// A snapshot message arrived (`received`) or was lost. Without a report the driver itself takes it for lost
    /// after two election timeouts.
    pub fn report_snapshot(&mut self, to: ReplicaId, received: bool) {
        self.snapshots.retain(|(id, _)| *id != to);
        let status = if received { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.raw.report_snapshot(to.0, status);
    }

    /// Messages to this replica are being lost.
    pub fn report_unreachable(&mut self, to: ReplicaId) {
        self.raw.report_unreachable(to.0);
    }

    /// Hands leadership to a voter, if it catches up within an election timeout. Nothing is promised: see
    /// [`Driver::leader`] later. Meanwhile proposals are refused.
    pub fn transfer_leader(&mut self, to: ReplicaId) {
        if self.is_leader() && self.conf().is_voter(to) {
            self.raw.transfer_leader(to.0);
        }
    }

    /// A snapshot message can be lost, and its answer too, whatever the transport says; a follower whose
    /// snapshot is neither answered nor reported gets nothing any more.
    fn give_up_lost_snapshots(&mut self) {
        let patience = 2 * self.config.election_ticks as u64;
        let mut late = Vec::new();
        let Driver { raw, snapshots, now_ticks, .. } = self;
        snapshots.retain(|&(to, since)| {
            let progress = raw.raft.prs().get(to.0);
            let waits = progress.is_some_and(|progress| progress.state == ProgressState::Snapshot);
            if waits && now_ticks.saturating_sub(since) >= patience {
                late.push(to);
            }
            waits && !late.contains(&to)
        });
        self.tally.snapshots_given_up += late.len() as u32;
        late.into_iter().for_each(|to| self.report_snapshot(to, false));
    }

    /// Entries that slow followers need and that are not in memory. Each is answered with [`Driver::fetched`].
    pub fn take_fetches(&mut self) -> Vec<Fetch> {
        self.raw.mut_store().take_wanted()
    }

    /// The answer to a fetch: entries from its first index on without a gap, fewer than asked or none.
    pub fn fetched(&mut self, fetch: Fetch, entries: Vec<Entry>) {
        let useless = entries.is_empty() && fetch.first > self.start().index;
        if !self.raw.mut_store().answer(fetch.first, entries) {
            self.tally.answers_refused += 1;
        }
        if useless {
            return; // The follower's next heartbeat asks again.
        }
        self.raw.on_entries_fetched(fetch.context);
        self.raw.mut_store().drop_answer();
    }

    /// The caller has applied everything up to `index`, which it got from [`Driver::take_committed`]. Older
    /// entries leave memory.
    ///
    /// # Panics
    /// When `index` was not handed out.
    pub fn applied(&mut self, index: Index) {
        let handed_out =
            self.committed.first().map_or(self.raw.raft.raft_log.applied, |next| next.index.0 - 1);
        assert!(index.0 <= handed_out, "only what was handed out can be applied");
        self.applied = self.applied.max(index);
        self.trim();
    }

    /// Drops applied entries that no follower needs from memory.
    pub(super) fn trim(&mut self) {
        let applied = self.applied;
        if !self.is_leader() || self.is_alone() {
            return self.raw.mut_store().forget(applied, 0);
        }
        let others = self.raw.raft.prs().iter().filter(|(id, _)| **id != self.config.id.0);
        let floor = others.map(|(_, progress)| Index(progress.matched)).min().unwrap_or(applied);
        let kept = self.config.kept_bytes_max;
        let store = self.raw.mut_store();
        store.forget(applied.min(floor), 0);
        store.forget(applied, kept);
    }
}
