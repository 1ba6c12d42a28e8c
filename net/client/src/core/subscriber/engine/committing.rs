//! Keeping positions at the node: one commit after the other, so that none is overtaken by an older one. A commit
//! takes the positions of its own moment; where a seek is still looking for its offset, it waits for that.

use super::{PartId, SubscriberEngine};
use crate::core::calls::{CallId, OnLoss, Route, expired};
use crate::core::moment::{Moment, earlier};
use bytes::Bytes;
use flumen_model::{Code, Error, Offset, Result, ShardId};
use flumen_wire::*;
use std::collections::VecDeque;

/// A commit that is not sent yet.
#[derive(Debug)]
struct Waiting {
    /// What the caller knows it by.
    id: CallId,
    positions: Vec<(PartId, Offset)>,
    /// Parts whose sought offset is not known yet.
    missing: Vec<PartId>,
    deadline: Moment,
}

/// A commit that is sent.
#[derive(Debug)]
struct Sent {
    id: CallId,
    call: CallId,
    moved: Vec<(PartId, Offset)>,
}

/// All commits that have not ended, and those whose end nobody has looked at.
#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: VecDeque<Waiting>,
    sent: Option<Sent>,
    ended: VecDeque<(CallId, Result<()>)>,
}

impl Commits {
    pub(super) fn next_ended(&mut self) -> Option<(CallId, Result<()>)> {
        self.ended.pop_front()
    }

    /// A part has found its place.
    pub(super) fn placed(&mut self, part: PartId, offset: Offset) {
        for waiting in &mut self.waiting {
            if let Some(place) = waiting.missing.iter().position(|missing| *missing == part) {
                waiting.missing.remove(place);
                waiting.positions.push((part, offset));
            }
        }
    }

    /// A part has ended: there is no place to wait for.
    pub(super) fn lost(&mut self, part: PartId) {
        self.waiting.iter_mut().for_each(|waiting| waiting.missing.retain(|missing| *missing != part));
    }

    /// Nothing will ever be sent.
    pub(super) fn end_all(&mut self, error: &Error) {
        let ended = self.waiting.drain(..).map(|waiting| (waiting.id, Err(error.clone())));
        self.ended.extend(ended);
    }

    /// When something here must be looked at again.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.waiting.iter().fold(None, |first, waiting| earlier(first, Some(waiting.deadline)))
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_none()
    }

    fn expire(&mut self, now: Moment) {
        // Who came first runs out of time first.
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| now >= waiting.deadline) {
            let error = expired("the positions were not kept in time", None);
            self.ended.push_back((waiting.id, Err(error)));
        }
    }
}

impl SubscriberEngine {
    /// Makes the node keep all positions; none when it keeps them already. A partition that a seek has moved is kept
    /// where the seek leads. [`SubscriberEngine::next_committed`] tells the end. Step afterwards.
    pub fn commit(&mut self, now: Moment) -> Result<Option<CallId>> {
        if self.settings.name.is_none() {
            let message = "a subscriber without a name has no positions to keep: name it in its settings";
            return Err(Error::new(Code::InvalidRequest, message));
        }
        let (mut positions, mut missing) = (Vec::new(), Vec::new());
        for (id, part) in self.parts.iter().enumerate() {
            match (part.position, part.home) {
                _ if part.is_seeking() => missing.push(id),
                (Some(offset), Some(_)) => positions.push((id, offset)),
                _ => {}
            }
        }
        let is_kept = |(id, offset): &(PartId, Offset)| self.parts[*id].committed == Some(*offset);
        if self.commits.is_idle() && missing.is_empty() && positions.iter().all(is_kept) {
            return Ok(None);
        }
        let id = self.session.reserve_call();
        let deadline = now.plus(self.session.settings().delivery_timeout);
        self.commits.waiting.push_back(Waiting { id, positions, missing, deadline });
        self.send_commits(now);
        Ok(Some(id))
    }

    /// A commit that has ended.
    pub fn next_committed(&mut self) -> Option<(CallId, Result<()>)> {
        self.commits.next_ended()
    }

    /// Sends the next commit when nothing keeps it.
    pub(super) fn send_commits(&mut self, now: Moment) {
        self.commits.expire(now);
        while self.commits.sent.is_none()
            && let Some(Waiting { id, positions, .. }) =
                self.commits.waiting.pop_front_if(|waiting| waiting.missing.is_empty())
        {
            self.send_commit(id, positions, now);
        }
    }

    fn send_commit(&mut self, id: CallId, wanted: Vec<(PartId, Offset)>, now: Moment) {
        let (mut moved, mut positions) = (Vec::new(), Vec::new());
        for (part_id, offset) in wanted {
            let part = &self.parts[part_id];
            let Some((_, group)) = part.home.filter(|_| part.committed != Some(offset)) else { continue };
            moved.push((part_id, offset));
            let leader_epoch = part.leader_epoch;
            positions.push(Position { group, offset, leader_epoch, metadata: String::new() });
        }
        if moved.is_empty() {
            return self.commits.ended.push_back((id, Ok(())));
        }
        let subscription = self.settings.name.clone().expect("only a named subscriber commits");
        let request = CommitPositionsRequest { subscription, positions };
        let call = self.session.call(request, Route::Shard(ShardId(0)), OnLoss::Again, now);
        self.commits.sent = Some(Sent { id, call, moved });
    }

    /// Takes the answer to a call if it is a commit's.
    pub(super) fn take_committed(&mut self, call: CallId, result: Result<Bytes>, now: Moment) {
        let Some(Sent { id, moved, .. }) = self.commits.sent.take_if(|sent| sent.call == call) else {
            return;
        };
        let result = result.and_then(|body| decode_reply::<CommitPositionsRequest>(&body)).map(drop);
        for (part, offset) in moved {
            // What the node keeps after a failure is not known.
            self.parts[part].committed = result.is_ok().then_some(offset);
        }
        self.commits.ended.push_back((id, result));
        self.send_commits(now);
    }
}
