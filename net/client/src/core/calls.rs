//! Requests that get one answer, tried until they have it: routed, sent again after losses and refusals that say so,
//! and given up at their deadline. Batches and subscriptions have their own rules and never come here.

use crate::core::chance::{Backoff, Chance};
use crate::core::connection::Connection;
use crate::core::moment::{Moment, earlier};
use crate::settings::Settings;
use bytes::Bytes;
use flumen_model::{Code, Error, GroupId, Kind, Result, ShardId};
use flumen_wire::{PingRequest, Request, decode_reply};
use std::collections::BTreeMap;
use std::fmt;

/// A call's name; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Where a call must go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To one shard. Shard 0 answers what any or the first answers.
    Shard(ShardId),
    /// To the owner of a group of a topic; the topic's name is needed to ask who that is.
    Owner {
        /// The topic.
        topic: String,
        /// The group.
        group: GroupId,
    },
}

/// What becomes of a call whose connection is lost while its answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLoss {
    /// It changes nothing when carried out twice: send it again.
    Again,
    /// It may be done already: tell the caller.
    Tell,
}

type Send = Box<dyn Fn(&mut Connection) -> Result<u32> + std::marker::Send>;

/// A call under way.
pub(crate) struct Call {
    pub(crate) route: Route,
    send: Send,
    on_loss: OnLoss,
    deadline: Moment,
    not_before: Moment,
    backoff: Backoff,
    in_flight: bool,
    last_error: Option<Error>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("route", &self.route)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// All calls of a session.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: BTreeMap<CallId, Call>,
    flights: BTreeMap<(ShardId, u32), CallId>,
    last: u64,
}

/// What an answer means.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is the caller's.
    Answer(CallId, Result<Bytes>),
    /// It is sent again later; `misrouted` when the routes are to blame.
    Again {
        /// Whether the routes must be fetched anew.
        misrouted: bool,
    },
    /// No call has asked this.
    NotMine,
}

impl Calls {
    pub(crate) fn add<R: Request + std::marker::Send + 'static>(
        &mut self,
        request: R,
        route: Route,
        on_loss: OnLoss,
        now: Moment,
        settings: &Settings,
    ) -> CallId {
        let id = self.reserve();
        let call = Call {
            route,
            send: Box::new(move |connection| connection.send(&request)),
            on_loss,
            deadline: now.plus(settings.delivery_timeout),
            not_before: now,
            backoff: Backoff::new(settings),
            in_flight: false,
            last_error: None,
        };
        self.calls.insert(id, call);
        id
    }

    /// An id that no call has or will have.
    pub(crate) fn reserve(&mut self) -> CallId {
        self.last += 1;
        CallId(self.last)
    }

    /// Calls that are to be sent now.
    pub(crate) fn due(&self, now: Moment) -> Vec<(CallId, Route)> {
        let due = self.calls.iter().filter(|(_, call)| !call.in_flight && now >= call.not_before);
        due.map(|(id, call)| (*id, call.route.clone())).collect()
    }

    /// Sends a call. An error is the caller's: the request is too large.
    pub(crate) fn send(&mut self, id: CallId, shard: ShardId, connection: &mut Connection) -> Result<()> {
        let call = self.calls.get_mut(&id).expect("a due call is there");
        match (call.send)(connection) {
            Ok(correlation) => {
                call.in_flight = true;
                self.flights.insert((shard, correlation), id);
                Ok(())
            }
            Err(error) => {
                self.calls.remove(&id);
                Err(error)
            }
        }
    }

    /// An answer came.
    pub(crate) fn answered(
        &mut self,
        shard: ShardId,
        correlation: u32,
        body: &Bytes,
        now: Moment,
        chance: &mut Chance,
    ) -> Verdict {
        let Some(id) = self.flights.remove(&(shard, correlation)) else { return Verdict::NotMine };
        // Its caller may have given it up.
        let Some(call) = self.calls.get_mut(&id) else { return Verdict::Again { misrouted: false } };
        match refusal(body) {
            Some(error) if is_passing(&error) => {
                let misrouted = error.kind() == Kind::NotLeader;
                call.again(error, now, chance);
                Verdict::Again { misrouted }
            }
            refused => {
                self.calls.remove(&id);
                Verdict::Answer(id, refused.map_or_else(|| Ok(body.clone()), Err))
            }
        }
    }

    /// A link went down. Tells the calls that end with it.
    pub(crate) fn lost(
        &mut self,
        shard: ShardId,
        error: &Error,
        now: Moment,
        chance: &mut Chance,
    ) -> Vec<(CallId, Error)> {
        let flights: Vec<_> =
            self.flights.range((shard, 0)..=(shard, u32::MAX)).map(|(key, id)| (*key, *id)).collect();
        let mut ended = Vec::new();
        for (key, id) in flights {
            self.flights.remove(&key);
            let Some(call) = self.calls.get_mut(&id) else { continue };
            match call.on_loss {
                OnLoss::Again => call.again(error.clone(), now, chance),
                OnLoss::Tell => {
                    self.calls.remove(&id);
                    let message = format!(
                        "{error}; the request may be carried out already: look before you send it again"
                    );
                    ended.push((id, Error::new(error.code, message)));
                }
            }
        }
        ended
    }

    /// Keeps why nothing gets through, for those who will run out of time.
    pub(crate) fn note(&mut self, error: &Error) {
        self.calls
            .values_mut()
            .filter(|call| !call.in_flight)
            .for_each(|call| call.last_error = Some(error.clone()));
    }

    /// Gives up calls that are out of time.
    pub(crate) fn expire(&mut self, now: Moment) -> Vec<(CallId, Error)> {
        let late: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| now >= call.deadline).map(|(id, _)| *id).collect();
        let give_up = |id| {
            let call = self.calls.remove(&id).expect("it was just there");
            (id, expired("the request was not answered in time", call.last_error.as_ref()))
        };
        late.into_iter().map(give_up).collect()
    }

    /// Ends all calls.
    pub(crate) fn end_all(&mut self) -> Vec<CallId> {
        self.flights.clear();
        std::mem::take(&mut self.calls).into_keys().collect()
    }

    /// Ends the calls to groups that fresh routes do not have.
    pub(crate) fn without_owner(&mut self, is_gone: impl Fn(GroupId) -> bool) -> Vec<(CallId, Error)> {
        let is_gone = |call: &Call| matches!(call.route, Route::Owner { group, .. } if is_gone(group));
        let gone: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| !call.in_flight && is_gone(call))
            .map(|(id, _)| *id)
            .collect();
        let end = |id| {
            self.calls.remove(&id);
            (
                id,
                Error::new(
                    Code::UnknownTopic,
                    "the topic of this partition is gone; look at the list of topics",
                ),
            )
        };
        gone.into_iter().map(end).collect()
    }

    /// When something here must be looked at again. What waits for a link is woken by it.
    pub(crate) fn deadline(&self, now: Moment) -> Option<Moment> {
        self.calls.values().fold(None, |first, call| {
            let waits = !call.in_flight && call.not_before > now;
            let next = if waits { call.not_before.min(call.deadline) } else { call.deadline };
            earlier(first, Some(next))
        })
    }
}

impl Call {
    fn again(&mut self, error: Error, now: Moment, chance: &mut Chance) {
        self.in_flight = false;
        self.not_before = now.plus(self.backoff.wait(chance));
        self.last_error = Some(error);
    }
}

/// Whether the same request may succeed later or elsewhere.
pub(crate) fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), Kind::Retry | Kind::NotLeader | Kind::Closed)
}

/// The error of an out-of-time wait, with the reason that kept it.
pub(crate) fn expired(what: &str, last: Option<&Error>) -> Error {
    let why = last.map_or(String::new(), |last| format!("; the last error: {last}"));
    Error::new(Code::Timeout, format!("{what}{why}"))
}

/// The error in a reply's body, whatever was asked.
fn refusal(body: &Bytes) -> Option<Error> {
    match body.starts_with(&[0, 0]) {
        true => None,
        // An error has the same form for all kinds.
        false => decode_reply::<PingRequest>(body).err(),
    }
}
