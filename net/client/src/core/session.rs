//! Everything that producer, subscriber and admin share: links to shards that come back by themselves, routes that are
//! refreshed when they prove wrong, and calls. The face opens sockets and moves bytes when it is told to. Never knows
//! what a batch or a subscription is for.

use crate::core::calls::{CallId, Calls, OnLoss, Route, Verdict};
use crate::core::chance::Chance;
use crate::core::connection::{Connection, Event};
use crate::core::link::Link;
pub use crate::core::link::SocketId;
use crate::core::moment::{Moment, earlier};
use crate::core::outgoing::Outgoing;
use crate::core::routes::Routes;
use crate::settings::Settings;
use bytes::Bytes;
use flumen_model::limits::CLIENT_ID_BYTES_MAX;
use flumen_model::{Code, Error, Kind, Result, ShardId};
use flumen_wire::{FrameKind, HelloReply, MetadataRequest, ProduceReply, Push, Request, decode_reply};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// What an engine must know.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A connection stands that did not.
    Up,
    /// The shard's connection is lost with all that was in flight on it.
    Down(ShardId),
    /// The node wants no connection from this client, or is none: trying again does not help.
    Refused(Error),
    /// The routes are new.
    Routes,
    /// The answer to a batch.
    Appended { shard: ShardId, correlation: u32, result: Result<ProduceReply> },
    /// The answer to an engine's own request.
    Reply { shard: ShardId, correlation: u32, body: Bytes },
    /// Batches of a subscription.
    Push { handle: u32, push: Push },
    /// The end of a subscription.
    PushEnd { handle: u32, error: Error },
    /// The answer to a call.
    Answered { call: CallId, result: Result<Bytes> },
}

/// The state that all clients have.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    chance: Chance,
    links: BTreeMap<ShardId, Link>,
    last_socket: u64,
    /// Sockets that the core gave up; the face closes them.
    given_up: Vec<SocketId>,
    routes: Routes,
    /// The refresh under way and the names that it asked for.
    refresh: Option<(CallId, Vec<String>)>,
    calls: Calls,
    notices: VecDeque<Notice>,
    node: Option<Uuid>,
    shards: u16,
}

impl Session {
    /// A session without connections.
    pub fn new(settings: Settings) -> Result<Session> {
        if settings.client_id.len() > CLIENT_ID_BYTES_MAX {
            let message = format!("a client id has at most {CLIENT_ID_BYTES_MAX} bytes; give a shorter one");
            return Err(Error::new(Code::InvalidRequest, message));
        }
        let chance = Chance::new(settings.seed);
        Ok(Session {
            settings,
            chance,
            links: BTreeMap::new(),
            last_socket: 0,
            given_up: Vec::new(),
            routes: Routes::default(),
            refresh: None,
            calls: Calls::default(),
            notices: VecDeque::new(),
            node: None,
            shards: 0,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many shards the node has; 0 before the first handshake.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    pub(crate) fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    pub(crate) fn routes(&mut self) -> &mut Routes {
        &mut self.routes
    }

    // What the face does.

    /// A socket that the face must open now, and the shard that it is for.
    pub fn next_connect(&mut self, now: Moment) -> Option<(SocketId, ShardId)> {
        let (shard, link) = self.links.iter_mut().find(|(_, link)| link.is_due(now))?;
        self.last_socket += 1;
        let socket = SocketId(self.last_socket);
        link.connecting(socket, now);
        Some((socket, *shard))
    }

    /// The socket stands. False when it is not wanted any more: close it.
    pub fn connected(&mut self, socket: SocketId, now: Moment) -> bool {
        let Some(shard) = self.shard_of(socket) else { return false };
        let opened = Connection::open(&self.settings.client_id, Some(shard));
        let live = self.live_mut(shard);
        live.connection = Some(opened.expect("the client id was checked at the start"));
        live.heard = now;
        true
    }

    /// The socket could not be opened, or has ended.
    pub fn lost(&mut self, socket: SocketId, error: Error, now: Moment) {
        if let Some(shard) = self.shard_of(socket) {
            self.went_down(shard, error, now);
        }
    }

    /// What is to be written to a socket; none when the core has given it up.
    pub fn outgoing(&mut self, socket: SocketId) -> Option<&mut Outgoing> {
        self.connection(socket).map(Connection::outgoing)
    }

    /// Room for a read from a socket; none when the core has given it up.
    pub fn room(&mut self, socket: SocketId) -> Option<&mut [u8]> {
        self.connection(socket).map(Connection::room)
    }

    /// So many bytes were read into the room.
    pub fn received(&mut self, socket: SocketId, bytes: usize, now: Moment) {
        let Some(shard) = self.shard_of(socket) else { return };
        let live = self.live_mut(shard);
        if let Some(connection) = &mut live.connection {
            connection.received(bytes);
            live.heard = now;
            live.fresh = true;
        }
    }

    /// A socket that the core has given up and the face must close.
    pub fn next_given_up(&mut self) -> Option<SocketId> {
        self.given_up.pop()
    }

    fn connection(&mut self, socket: SocketId) -> Option<&mut Connection> {
        let shard = self.shard_of(socket)?;
        self.live_mut(shard).connection.as_mut()
    }

    fn shard_of(&self, socket: SocketId) -> Option<ShardId> {
        let has = |link: &Link| link.live.as_ref().is_some_and(|live| live.socket == socket);
        self.links.iter().find(|(_, link)| has(link)).map(|(shard, _)| *shard)
    }

    fn live_mut(&mut self, shard: ShardId) -> &mut crate::core::link::Live {
        let link = self.links.get_mut(&shard).expect("the shard of a socket has a link");
        link.live.as_mut().expect("the link of a socket is live")
    }

    // What the engines do.

    /// The shard's connection for a request. Opens it when it is not there: then `Up` will tell.
    pub(crate) fn link(&mut self, shard: ShardId, now: Moment) -> Option<&mut Connection> {
        let settings = &self.settings;
        let link = self.links.entry(shard).or_insert_with(|| Link::new(settings));
        link.want();
        link.for_request(now)
    }

    /// Begins a call; `Answered` will tell.
    pub(crate) fn call<R: Request + Send + 'static>(
        &mut self,
        request: R,
        route: Route,
        on_loss: OnLoss,
        now: Moment,
    ) -> CallId {
        if let Route::Owner { topic, .. } = &route {
            // So that refreshes ask for it.
            self.routes.topic(topic);
        }
        self.calls.add(request, route, on_loss, now, &self.settings)
    }

    /// The id of something that will become a call, or end before it does.
    pub(crate) fn reserve_call(&mut self) -> CallId {
        self.calls.reserve()
    }

    /// Why nothing gets through to a shard, if so.
    pub fn trouble(&self, shard: ShardId) -> Option<&Error> {
        self.links.get(&shard)?.last_error.as_ref()
    }

    /// Looks at the clock and sends what is due.
    pub(crate) fn run(&mut self, now: Moment) {
        self.check_links(now);
        for (call, error) in self.calls.expire(now) {
            self.answer(call, Err(error), now);
        }
        self.run_refresh(now);
        self.run_calls(now);
    }

    /// The next thing that an engine must know.
    pub(crate) fn next_notice(&mut self, now: Moment) -> Option<Notice> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(notice);
            }
            if !self.read_fresh(now) {
                return None;
            }
        }
    }

    fn has_news(&self) -> bool {
        !self.notices.is_empty()
    }

    /// When the clock must be looked at again.
    pub(crate) fn deadline(&self, now: Moment) -> Option<Moment> {
        let links =
            self.links.values().fold(None, |first, link| earlier(first, link.deadline(&self.settings)));
        let refresh = if self.refresh.is_some() { None } else { self.routes.due_at() };
        earlier(earlier(links, self.calls.deadline(now)), refresh)
    }

    fn check_links(&mut self, now: Moment) {
        let settings = &self.settings;
        let late = |(shard, link): (&ShardId, &mut Link)| Some((*shard, link.check_time(now, settings)?));
        let late: Vec<_> = self.links.iter_mut().filter_map(late).collect();
        late.into_iter().for_each(|(shard, error)| self.give_up(shard, error, now));
    }

    fn run_refresh(&mut self, now: Moment) {
        if self.refresh.is_some() {
            return;
        }
        let Some(topics) = self.routes.due(now) else { return };
        self.routes.refreshing(now.plus(self.settings.backoff_min));
        let request = MetadataRequest { topics: topics.clone() };
        let call = self.calls.add(request, Route::Shard(ShardId(0)), OnLoss::Again, now, &self.settings);
        self.refresh = Some((call, topics));
    }

    fn run_calls(&mut self, now: Moment) {
        for (id, route) in self.calls.due(now) {
            let shard = match &route {
                Route::Shard(shard) => Some(*shard),
                Route::Owner { group, .. } => self.routes.shard(*group),
            };
            let Some(shard) = shard else {
                self.routes.distrust();
                continue;
            };
            let settings = &self.settings;
            let link = self.links.entry(shard).or_insert_with(|| Link::new(settings));
            link.want();
            let Some(connection) = link.for_request(now) else { continue };
            if let Err(error) = self.calls.send(id, shard, connection) {
                self.answer(id, Err(error), now);
            }
        }
    }

    fn answer(&mut self, call: CallId, result: Result<Bytes>, now: Moment) {
        if self.refresh.as_ref().is_none_or(|(refresh, _)| *refresh != call) {
            self.notices.push_back(Notice::Answered { call, result });
            return;
        }
        let (_, asked) = self.refresh.take().expect("it was just looked at");
        match result.and_then(|body| decode_reply::<MetadataRequest>(&body)) {
            Ok(reply) => {
                self.routes.learn(&asked, reply);
                let gone = self.calls.without_owner(|group| self.routes.shard(group).is_none());
                let gone =
                    gone.into_iter().map(|(call, error)| Notice::Answered { call, result: Err(error) });
                self.notices.extend(gone);
                self.notices.push_back(Notice::Routes);
            }
            Err(_) => {
                // Somebody still waits for it: those who do have deadlines of their own.
                self.routes.refresh_failed(now.plus(self.settings.backoff_max));
            }
        }
    }

    /// Turns bytes that came into notices. False when there were none.
    fn read_fresh(&mut self, now: Moment) -> bool {
        let is_fresh = |link: &Link| link.live.as_ref().is_some_and(|live| live.fresh);
        let Some(shard) = self.links.iter().find(|(_, link)| is_fresh(link)).map(|(shard, _)| *shard) else {
            return false;
        };
        let live = self.live_mut(shard);
        let connection = live.connection.as_mut().expect("only a connection receives");
        match connection.next_event() {
            Ok(Some(event)) => self.take(shard, event, now),
            Ok(None) => live.fresh = false,
            Err(error) => self.give_up(shard, error, now),
        }
        true
    }

    fn take(&mut self, shard: ShardId, event: Event, now: Moment) {
        let notice = match event {
            Event::Opened(hello) => return self.opened(shard, &hello, now),
            Event::Reply { kind: FrameKind::Ping, .. } => return,
            Event::Reply { correlation, body, .. } => return self.reply(shard, correlation, body, now),
            Event::Appended { correlation, result } => Notice::Appended { shard, correlation, result },
            Event::Push { handle, push } => Notice::Push { handle, push },
            Event::PushEnd { handle, error } => Notice::PushEnd { handle, error },
        };
        self.notices.push_back(notice);
    }

    fn opened(&mut self, shard: ShardId, hello: &HelloReply, now: Moment) {
        if self.node.is_some_and(|node| node != hello.node) {
            // Other data: group numbers mean other topics there.
            self.routes.forget_all();
        }
        self.node = Some(hello.node);
        self.shards = hello.shards;
        if hello.shard != shard {
            self.routes.distrust();
            let message = format!("the node has no shard {shard}; the routes are fetched again");
            return self.give_up(shard, Error::new(Code::WrongShard, message), now);
        }
        self.links.get_mut(&shard).expect("it has just answered").came_up();
        self.notices.push_back(Notice::Up);
        self.run_calls(now);
    }

    fn reply(&mut self, shard: ShardId, correlation: u32, body: Bytes, now: Moment) {
        match self.calls.answered(shard, correlation, &body, now, &mut self.chance) {
            Verdict::Answer(call, result) => self.answer(call, result, now),
            Verdict::Again { misrouted: true } => self.routes.distrust(),
            Verdict::Again { misrouted: false } => {}
            Verdict::NotMine => self.notices.push_back(Notice::Reply { shard, correlation, body }),
        }
    }

    /// Ends a connection from this side.
    fn give_up(&mut self, shard: ShardId, error: Error, now: Moment) {
        let socket = self.live_mut(shard).socket;
        self.given_up.push(socket);
        self.went_down(shard, error, now);
    }

    fn went_down(&mut self, shard: ShardId, error: Error, now: Moment) {
        let link = self.links.get_mut(&shard).expect("a live link");
        let was_up = link.live.as_ref().is_some_and(|live| live.up);
        link.went_down(error.clone(), now, &mut self.chance);
        for (call, error) in self.calls.lost(shard, &error, now, &mut self.chance) {
            self.answer(call, Err(error), now);
        }
        self.calls.note(&error);
        self.notices.push_back(Notice::Down(shard));
        if !was_up && error.kind() == Kind::Invalid {
            self.calls.end_all().into_iter().for_each(|call| self.answer(call, Err(error.clone()), now));
            self.notices.push_back(Notice::Refused(error));
        }
    }
}

/// What a face drives: one session and what is done with it.
pub trait Engine: Send + 'static {
    /// The session.
    fn session(&mut self) -> &mut Session;

    /// Takes what has come and does what is due. Faces call [`Engine::step`].
    fn work(&mut self, now: Moment);

    /// When to call [`Engine::step`] even if nothing happens. Ask after the sockets that are due were begun.
    fn deadline(&self, now: Moment) -> Option<Moment>;

    /// Goes on as far as it can: to be called after anything has happened, and at the deadline.
    fn step(&mut self, now: Moment) {
        self.session().run(now);
        self.work(now);
        // What the work has asked leaves at once, and what comes of that is worked on.
        self.session().run(now);
        while self.session().has_news() {
            self.work(now);
            self.session().run(now);
        }
    }
}
