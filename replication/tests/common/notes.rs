//! What happens in a ring: counted by kind, folded into one number, and told as sentences when somebody listens.
//! It must never change what happens.

use flumen_replication::{Conf, Refused, ReplicaId, Tally};
use std::hash::{Hash, Hasher};

macro_rules! kinds {
    ($($kind:ident $about:literal)*) => {
        /// What is counted. None may stay at zero over many seeds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind { $($kind),* }

        impl Kind {
            /// All of them, with their words.
            pub(crate) const ALL: &[(Kind, &str)] = &[$((Kind::$kind, $about)),*];
        }
    };
}

kinds! {
    Elected "leader: elected"
    ElectedSole "leader: elected as the sole voter"
    ElectedJoint "leader: elected in a joint configuration"
    ElectedByTransfer "leader: elected by a transfer"
    Voted "leader: a vote given to another"
    Rivals "leader: another stands for the same term"
    Deposed "leader: deposed with writes under way"
    SteppedDown "leader: steps down, its own vote is gone"
    Acked "leader: write acked"
    AckedEarly "leader: commits before its own flush"
    SentEarly "leader: sends entries before its own flush"
    TransferAsked "leader: asked to hand over"
    ConflictQueued "log: conflicting tail replaced, not yet durable"
    ConflictDurable "log: conflicting tail replaced, durable"
    CommitAlone "log: a group with nothing but a commit index"
    ReadysTogether "log: several writes under way"
    MarkWritten "log: applied mark durable"
    HeadCut "log: head cut"
    FetchAsked "log: entries fetched that left memory"
    FetchLate "log: fetch answered late"
    FetchRefused "log: answer of a fetch refused, another log"
    SnapshotSent "snapshot: sent"
    SnapshotSentJoint "snapshot: sent with a joint configuration"
    SnapshotInstalled "snapshot: installed over nothing"
    SnapshotReplaced "snapshot: installed over a log"
    SnapshotGivenUp "snapshot: given up without a report"
    LearnerAdded "change: learner added"
    LearnerRemoved "change: learner removed"
    LearnerPromoted "change: learner promoted"
    VoterDemoted "change: voter demoted"
    VoterRemoved "change: voter removed"
    JointAuto "change: joint entered, left by itself"
    JointExplicit "change: joint entered, left when asked"
    JointSole "change: joint entered with the same one voter on both sides"
    JointLeft "change: joint left"
    AllReplaced "change: all voters replaced"
    SoleReached "change: one voter left"
    RefusedNotLeader "refused: does not lead"
    RefusedFull "refused: too much is uncommitted"
    RefusedPending "refused: a change is under way"
    RefusedStale "refused: made for another configuration"
    RefusedJoint "refused: joint must be left first"
    RefusedNotCaughtUp "refused: learner is too far behind"
    RefusedCondemned "refused: id of a removed replica"
    RefusedQuorum "refused: no live majority would be left"
    Fenced "member: fence proposed behind a removal"
    Destroyed "member: destroyed behind its fence"
    Created "member: created"
    Wiped "member: disk wiped"
    WipedFenced "member: message for a wiped disk reaches its heir, dropped"
    StrayDropped "member: message for another replica dropped"
    Dropped "driver: messages dropped in step"
    Held "driver: messages held for a write"
    NotWhole "driver: message dropped as not whole"
    TermAdopted "driver: term adopted from a pre-vote"
    TickHeld "driver: tick held for a snapshot or a sole voter's log"
    ElectionHeld "driver: election held for the same"
    MachineLags "machine: applies late"
    Crashed "crash: one replica"
    CrashedAll "crash: all replicas at once"
    CrashedLeader "crash: a leader"
    CrashedJoint "crash: in a joint configuration"
    CrashedInstalling "crash: with a snapshot under way"
    CrashedSpark "crash: right after something rare"
    BootedAtOnce "crash: and up again at once"
    GroupsLost "crash: queued groups lost"
    GroupsKept "crash: queued groups recovered"
    QueueCutInPart "crash: part of the queue recovered"
    Booted "boot"
    BootedJoint "boot: in a joint configuration"
    BootedReplaying "boot: committed entries replayed"
    BootedReplayingConf "boot: committed changes replayed"
    BootedTail "boot: with an uncommitted tail"
    BootedCut "boot: from a cut head"
    RecordsAbove "boot: configuration records above the applied mark"
    Delivered "net: delivered"
    Lost "net: lost"
    LostTold "net: lost, and the sender is told"
    Repeated "net: repeated"
    Overtaken "net: overtaken"
    LinkCut "net: one-way cut"
    LinkStalled "net: a link stalls"
    Isolated "net: a replica speaks to nobody, or hears nobody"
    Stalled "node: stalls"
    Healed "healed"
}

/// The counts of one run or of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts(Box<[u64; Kind::ALL.len()]>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(Box::new([0; Kind::ALL.len()]))
    }
}

impl Counts {
    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(sum, more)| *sum += more);
    }
}

/// SplitMix64's finalizer as a hasher: the same everywhere, in every build.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fold(pub(crate) u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let z = (self.0 ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.0 = z ^ (z >> 31);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) counts: Counts,
    /// Everything that happened, in one number.
    pub(crate) trace: Fold,
    /// How many things happened.
    pub(crate) events: u64,
    /// Sentences, if somebody listens.
    pub(crate) story: Option<Vec<String>>,
    hushed: bool,
    /// Something rare just happened to this replica: a good moment for a crash.
    pub(crate) spark: Option<ReplicaId>,
    /// And it was among the rarest.
    pub(crate) is_keen: bool,
    /// This replica led until now, and has writes under way: a good moment to stand for election.
    pub(crate) deposed: Option<ReplicaId>,
    /// This replica stands for election, and has voted for itself.
    pub(crate) stands: Option<ReplicaId>,
    /// Whom leadership was last handed to.
    pub(crate) transfer_to: Option<ReplicaId>,
}

impl Notes {
    pub(crate) fn count(&mut self, kind: Kind) {
        self.counts.0[kind as usize] += 1;
    }

    pub(crate) fn count_times(&mut self, kind: Kind, times: u64) {
        self.counts.0[kind as usize] += times;
    }

    /// Something happened that belongs to the trace.
    pub(crate) fn fold(&mut self, what: impl Hash) {
        self.events += 1;
        what.hash(&mut self.trace);
    }

    pub(crate) fn tell(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(story) = self.story.as_mut().filter(|_| !self.hushed) {
            story.push(sentence());
        }
    }

    /// The next thing happens.
    pub(crate) fn begin(&mut self) {
        (self.spark, self.is_keen, self.deposed, self.stands) = (None, false, None, None);
    }

    /// Nothing more is told.
    pub(crate) fn hush(&mut self) {
        self.hushed = true;
    }

    pub(crate) fn refused(&mut self, why: &Refused) {
        self.tell(|| format!("    refused: {why}"));
        self.count(match why {
            Refused::NotLeader { .. } => Kind::RefusedNotLeader,
            Refused::Full => Kind::RefusedFull,
            Refused::Pending => Kind::RefusedPending,
            Refused::Stale(_) => Kind::RefusedStale,
            Refused::Joint => Kind::RefusedJoint,
            Refused::NotCaughtUp(_) => Kind::RefusedNotCaughtUp,
            Refused::Condemned(_) => Kind::RefusedCondemned,
            Refused::QuorumAtRisk => Kind::RefusedQuorum,
            Refused::Invalid => panic!("a change that names nobody was proposed"),
        });
    }

    /// The group went from one configuration to the next.
    pub(crate) fn changed(&mut self, before: &Conf, after: &Conf) {
        let gone = |id: &&ReplicaId| !after.is_member(**id);
        for learner in before.learners.iter().filter(|id| !after.learners.contains(id)) {
            let promoted = after.is_voter(*learner);
            self.count(if promoted { Kind::LearnerPromoted } else { Kind::LearnerRemoved });
        }
        let new = |id: &&ReplicaId| !before.is_member(**id);
        self.count_times(Kind::LearnerAdded, after.learners.iter().filter(new).count() as u64);
        let old: Vec<ReplicaId> = before.members().filter(|id| before.is_voter(*id)).collect();
        self.count_times(Kind::VoterRemoved, old.iter().filter(gone).count() as u64);
        let demoted = old.iter().filter(|id| after.learners.contains(id)).count();
        self.count_times(Kind::VoterDemoted, demoted as u64);
        match (before.is_joint(), after.is_joint()) {
            (false, true) => {
                self.count(if after.auto_leave { Kind::JointAuto } else { Kind::JointExplicit });
                if after.voters.len() == 1 && after.voters == after.voters_outgoing {
                    self.count(Kind::JointSole);
                }
                if after.voters.iter().all(|id| !after.voters_outgoing.contains(id)) {
                    self.count(Kind::AllReplaced);
                }
            }
            (true, false) => self.count(Kind::JointLeft),
            _ => {}
        }
        if after.voters.len() == 1 && !after.is_joint() && old.len() > 1 {
            self.count(Kind::SoleReached);
        }
    }

    /// What a driver alone has seen; it is gone now.
    pub(crate) fn tally(&mut self, tally: Tally) {
        let all = [
            (Kind::NotWhole, tally.messages_not_whole),
            (Kind::Held, tally.messages_held),
            (Kind::Dropped, tally.messages_dropped),
            (Kind::TermAdopted, tally.terms_adopted),
            (Kind::SnapshotGivenUp, tally.snapshots_given_up),
            (Kind::SteppedDown, tally.step_downs),
            (Kind::TickHeld, tally.ticks_held),
            (Kind::ElectionHeld, tally.elections_held),
            (Kind::FetchRefused, tally.answers_refused),
        ];
        all.into_iter().for_each(|(kind, times)| self.count_times(kind, times.into()));
    }
}
