//! How a part comes to its subscription: its group, its first offset, its owner. Each step asks the node at most once
//! and goes on when the answer is there.

use super::{PartId, SubscriberEngine};
use crate::core::calls::{CallId, OnLoss, Route, is_passing};
use crate::core::moment::Moment;
use crate::core::routes::Lookup;
use crate::core::subscriber::part::Phase;
use crate::core::subscriber::settings::Target;
use bytes::Bytes;
use flumen_model::{Code, Error, Offset, PartitionNumber, Result, ShardId};
use flumen_wire::*;
use std::collections::BTreeMap;

impl SubscriberEngine {
    pub(super) fn expand_topics(&mut self, now: Moment) {
        for name in std::mem::take(&mut self.whole_topics) {
            let count = match self.session.routes().topic(&name) {
                Lookup::Known(topic) => topic.partitions.len(),
                Lookup::Asked => {
                    self.whole_topics.push(name);
                    continue;
                }
                Lookup::Absent => {
                    self.errors.push_back(no_topic(&name));
                    continue;
                }
            };
            (0..count as u32).for_each(|number| self.add_partition(&name, PartitionNumber(number), now));
        }
    }

    pub(super) fn run_part(&mut self, id: PartId, now: Moment) {
        if now < self.parts[id].not_before {
            return self.agenda.schedule(id, self.parts[id].not_before);
        }
        if self.parts[id].phase == Phase::Unrouted {
            self.route(id, now);
        }
        if self.parts[id].phase == Phase::Unplaced {
            self.find_place(id, now);
        }
        if self.parts[id].phase == Phase::Ready {
            self.subscribe(id, now);
        }
    }

    fn route(&mut self, id: PartId, now: Moment) {
        let part = &mut self.parts[id];
        let missing = match self.session.routes().topic(&part.topic) {
            Lookup::Asked => return,
            Lookup::Absent => no_topic(&part.topic),
            Lookup::Known(topic) => match topic.group(part.number) {
                Some(group) => {
                    part.home = Some((topic.id, group));
                    part.phase = Phase::Unplaced;
                    return;
                }
                None => Error::new(Code::UnknownTopic, "the topic has no such partition"),
            },
        };
        self.end(id, missing, now);
    }

    fn find_place(&mut self, id: PartId, now: Moment) {
        let part = &mut self.parts[id];
        let (_, group) = part.home.expect("a routed part has a home");
        if part.target == Target::Kept {
            part.target = match (&self.settings.name, &self.kept) {
                (None, _) => self.settings.start.into(),
                (Some(_), Some(kept)) => match kept.get(&group) {
                    Some(offset) => {
                        part.committed = Some(*offset);
                        Target::Offset(*offset)
                    }
                    None => self.settings.start.into(),
                },
                (Some(name), None) => {
                    if self.kept_call.is_none() {
                        let request = FetchPositionsRequest { subscription: name.clone() };
                        let route = Route::Shard(ShardId(0));
                        self.kept_call = Some(self.session.call(request, route, OnLoss::Again, now));
                    }
                    return;
                }
            };
        }
        match part.target {
            Target::Offset(offset) => self.begin_at(id, offset),
            Target::Of(of) => {
                let route = Route::Owner { topic: part.topic.to_string(), group };
                let call = self.session.call(ListOffsetsRequest { group, of }, route, OnLoss::Again, now);
                self.offset_calls.insert(call, id);
                part.phase = Phase::Asking(call);
            }
            Target::Kept => unreachable!("it was just looked up"),
        }
    }

    /// It is known where the part begins.
    fn begin_at(&mut self, id: PartId, offset: Offset) {
        self.parts[id].begin_at(offset);
        self.commits.placed(id, offset);
    }

    fn subscribe(&mut self, id: PartId, now: Moment) {
        let part = &mut self.parts[id];
        let (_, group) = part.home.expect("a routed part has a home");
        let Some(shard) = self.session.routes().shard(group) else {
            return self.session.routes().distrust();
        };
        let Some(connection) = self.session.link(shard, now) else { return };
        self.last_handle = self.last_handle.wrapping_add(1);
        let handle = self.last_handle;
        let credit_bytes = part.first_credit(self.settings.credit_bytes);
        let request = SubscribeRequest { group, handle, offset: part.wanted, credit_bytes };
        let correlation = connection.send(&request).expect("a request is far below the frame limit");
        self.asked.insert((shard, correlation), handle);
        self.handles.insert(handle, id);
        part.phase = Phase::Live { shard, handle };
    }

    pub(super) fn take_kept(&mut self, result: Result<Bytes>, now: Moment) {
        match result.and_then(|body| decode_reply::<FetchPositionsRequest>(&body)) {
            Ok(reply) => {
                let kept = reply.positions.into_iter().map(|position| (position.group, position.offset));
                self.kept = Some(kept.collect());
            }
            // It begins with its first commit.
            Err(error) if error.code == Code::UnknownSubscription => self.kept = Some(BTreeMap::new()),
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                let waits = |id: &PartId| self.parts[*id].phase == Phase::Unplaced;
                let waiting: Vec<PartId> = (0..self.parts.len()).filter(waits).collect();
                waiting.into_iter().for_each(|id| self.end(id, error.clone(), now));
            }
        }
        self.schedule_all(now);
    }

    pub(super) fn take_offset(&mut self, id: PartId, call: CallId, result: Result<Bytes>, now: Moment) {
        let part = &mut self.parts[id];
        if part.phase != Phase::Asking(call) {
            return;
        }
        part.phase = Phase::Unplaced;
        match result.and_then(|body| decode_reply::<ListOffsetsRequest>(&body)).map(|reply| reply.offset) {
            Ok(Some(offset)) => self.begin_at(id, offset),
            // No record is that late: what comes next is.
            Ok(None) => part.target = Target::Of(OffsetOf::Latest),
            Err(error) if is_passing(&error) => return self.try_later(id, now),
            Err(error) => return self.end(id, error, now),
        }
        self.agenda.schedule(id, now);
    }
}

#[cold]
fn no_topic(topic: &str) -> Error {
    Error::new(Code::UnknownTopic, format!("there is no topic {topic}: create it first"))
}
