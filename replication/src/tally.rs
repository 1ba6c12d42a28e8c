//! How often a driver took one of its rare ways: the rules that nobody sees from outside. Only counts; nothing may
//! ever depend on them.

/// Counts since the driver was made. For metrics, and for whoever must know that a rule was met at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that Raft had glued together wrongly, and that were lost on purpose.
    pub messages_not_whole: u32,
    /// Messages that had to wait for a write.
    pub messages_held: u32,
    /// Messages for another replica, of no kind that travels, or while a snapshot was not durable.
    pub messages_dropped: u32,
    /// Terms taken over from whoever asked for a pre-vote.
    pub terms_adopted: u32,
    /// Snapshots that nobody answered or reported.
    pub snapshots_given_up: u32,
    /// Times it led and lost its vote by a change that it applied.
    pub step_downs: u32,
    /// Ticks that did not count because a snapshot or a sole voter's log was not durable.
    pub ticks_held: u32,
    /// Orders to campaign, or to count votes, that had to wait for the same.
    pub elections_held: u32,
    /// Answers to a fetch that were not this log any more.
    pub answers_refused: u32,
}
