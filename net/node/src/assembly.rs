//! A node's cores at work. The first one owns the directory, shard 0 and the door; every core opens its shards,
//! follows the metadata and serves the connections that want them. Shards are not CPUs: fewer cores than shards
//! each take several.

use crate::directory::{open_directory, shard_spec};
use crate::mesh::{Ends, FromCore, Others, ToCore, link};
use crate::{Handle, NodeConfig, Observer};
use flumen_engine::control::{Follow, Report};
use flumen_engine::{Shard, ShardConfig};
use flumen_io::local::{LocalQueue, join2};
use flumen_io::{Host, Listener, Machine, Receiver, Sender};
use flumen_log::superblock::Superblock;
use flumen_model::{Code, Error, Result, ShardId};
use flumen_net::{Acceptor, Handoff, Server, ServerStatus};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often a core beats and looks whether it shall stop.
const BEAT_EVERY: Duration = Duration::from_millis(50);
/// Connections that wait for their core.
const INCOMING_MAX: usize = 4096;

/// What every core of a node shares; only counters and settings.
#[derive(Clone)]
struct Common {
    config: NodeConfig,
    cores: usize,
    observer: Arc<dyn Observer>,
    handle: Arc<Handle>,
    open: Arc<AtomicUsize>,
}

/// What one core runs.
pub type Main<H> = Box<dyn FnOnce(H) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Runs a node on `cores` cores until it is stopped or fails.
///
/// # Errors
/// What keeps the machine itself from running; everything else goes to the observer.
pub fn run<M: Machine>(
    mut machine: M,
    cores: usize,
    config: NodeConfig,
    observer: Arc<dyn Observer>,
    handle: Arc<Handle>,
) -> io::Result<()> {
    let mains = mains(&mut machine, cores, config, observer, handle);
    machine.run(mains)
}

/// What each core of a node runs, for a machine that runs others beside them.
pub fn mains<M: Machine>(
    machine: &mut M,
    cores: usize,
    config: NodeConfig,
    observer: Arc<dyn Observer>,
    handle: Arc<Handle>,
) -> Vec<Main<M::Host>> {
    let common = Common { config, cores, observer, handle, open: Arc::new(AtomicUsize::new(0)) };
    let mut ends = Vec::with_capacity(cores);
    let mut mains: Vec<Main<M::Host>> = Vec::with_capacity(cores);
    let mut others = Vec::with_capacity(cores);
    for _ in 1..cores {
        let (end, other) = link(machine);
        ends.push(end);
        others.push(other);
    }
    let first = common.clone();
    mains.push(Box::new(move |host| Box::pin(first_core(host, first, ends))));
    for other in others {
        let common = common.clone();
        mains.push(Box::new(move |host| Box::pin(other_core(host, common, other))));
    }
    mains
}

/// The shards of one core, with what feeds them.
struct Stalls<H: Host> {
    shards: BTreeMap<ShardId, Rc<Shard<H>>>,
    servers: BTreeMap<ShardId, Rc<Server<H>>>,
    incoming: BTreeMap<ShardId, LocalQueue<Handoff<H::Parts>>>,
    inboxes: BTreeMap<ShardId, LocalQueue<Follow>>,
}

/// Opens this core's shards and starts everything that serves them.
async fn open_shards<H: Host>(
    host: &H,
    common: &Common,
    superblock: &Superblock,
    report: impl Fn(Report) + Clone + 'static,
) -> Result<Stalls<H>> {
    let mut stalls = Stalls {
        shards: BTreeMap::new(),
        servers: BTreeMap::new(),
        incoming: BTreeMap::new(),
        inboxes: BTreeMap::new(),
    };
    let mine = (0..superblock.shards).filter(|shard| usize::from(*shard) % common.cores == host.core().0);
    for id in mine.map(ShardId) {
        let config = ShardConfig {
            log: shard_spec(&common.config.data, superblock, id, &common.config.limits),
            topic_defaults: common.config.topic_defaults.clone(),
            seed: host.entropy(),
        };
        let began = host.now();
        let (shard, found) = Shard::open(host.clone(), config).await?;
        tracing::info!(
            shard = id.0,
            ms = host.now().since(began).as_millis() as u64,
            frames = found.frames,
            bytes = found.bytes,
            torn = found.torn.is_some(),
            damage = found.damage.len(),
            "shard recovered"
        );
        let observer = common.observer.clone();
        shard.start(move |error| observer.failed(error));
        let status = ServerStatus {
            node: superblock.directory_id,
            shards: superblock.shards,
            version: common.config.version,
        };
        let server = Server::new(shard.clone(), status, common.open.clone());
        let incoming = LocalQueue::bounded(INCOMING_MAX);
        let inbox = LocalQueue::unbounded();
        drop(host.spawn(server.clone().run(incoming.clone())));
        drop(host.spawn(server.clone().run_sweeper()));
        drop(host.spawn(shard.clone().run_follower(inbox.clone(), report.clone())));
        stalls.shards.insert(id, shard);
        stalls.servers.insert(id, server);
        stalls.incoming.insert(id, incoming);
        stalls.inboxes.insert(id, inbox);
    }
    Ok(stalls)
}

impl<H: Host> Stalls<H> {
    /// Ends connections, then shards, and waits until what was queued is durable.
    async fn close(self) {
        self.inboxes.values().for_each(LocalQueue::close);
        self.incoming.values().for_each(LocalQueue::close);
        self.servers.values().for_each(|server| server.close());
        for shard in self.shards.values() {
            shard.close();
        }
        for shard in self.shards.values() {
            shard.ended().await;
        }
    }
}

async fn first_core<H: Host>(host: H, common: Common, ends: Vec<Ends<H>>) {
    let mut senders = Vec::with_capacity(ends.len());
    let mut receivers = Vec::with_capacity(ends.len());
    for end in ends {
        let (to, from) = join2(host.sender(end.to_tx), host.receiver(end.from_rx)).await;
        senders.push(to);
        receivers.push(from);
    }
    if let Err(error) = serve(&host, &common, &senders, receivers).await {
        common.observer.failed(error);
    }
    for to in &senders {
        let _ = to.send(ToCore::Stop).await;
    }
}

async fn serve<H: Host>(
    host: &H,
    common: &Common,
    senders: &[H::Sender<ToCore<H::Parts>>],
    receivers: Vec<H::Receiver<FromCore>>,
) -> Result<()> {
    let observer = common.observer.clone();
    let found =
        open_directory(host, &common.config, move |done, total| observer.formatting(done, total)).await?;
    let superblock = found.superblock;
    for to in senders {
        let _ = to.send(ToCore::Open(Box::new(superblock.clone()))).await;
    }
    let reports = LocalQueue::unbounded();
    let own = reports.clone();
    let stalls = open_shards(host, common, &superblock, move |report| {
        let _ = own.try_push(report);
    })
    .await?;
    let control = stalls.shards[&ShardId(0)].clone();
    control.control_or_refuse()?.connect(inboxes(host, common, &superblock, &stalls, senders));
    drop(host.spawn(take_reports(control.clone(), reports.clone())));
    let stopped = Rc::new(Cell::new(0));
    for from in receivers {
        drop(host.spawn(hear::<H>(from, reports.clone(), stopped.clone())));
    }
    control.start_control(superblock.directory_id, superblock.directory_id, superblock.shards).await?;

    let listener = Rc::new(host.listen(common.config.native).await.map_err(|error| {
        let message =
            format!("cannot listen on {}: {error}; choose another with --native", common.config.native);
        Error::new(Code::InvalidRequest, message)
    })?);
    let acceptor = acceptor(host, common, &superblock, &stalls, senders);
    let handle = common.handle.clone();
    drop(host.spawn(acceptor.run(listener.clone(), move || handle.is_stopped())));
    common.observer.ready(listener.local_addr());
    while !common.handle.is_stopped() {
        common.handle.beat(host.core().0);
        host.sleep(BEAT_EVERY).await;
    }
    listener.close();
    for to in senders {
        let _ = to.send(ToCore::Stop).await;
    }
    stalls.close().await;
    while stopped.get() < senders.len() {
        host.sleep(BEAT_EVERY).await;
    }
    reports.close();
    drop(found.lock);
    Ok(())
}

/// Where each shard takes its news from: its own queue here, or one that is carried to its core.
fn inboxes<H: Host>(
    host: &H,
    common: &Common,
    superblock: &Superblock,
    stalls: &Stalls<H>,
    senders: &[H::Sender<ToCore<H::Parts>>],
) -> Vec<LocalQueue<Follow>> {
    let inbox = |id: u16| match usize::from(id) % common.cores {
        0 => stalls.inboxes[&ShardId(id)].clone(),
        core => {
            let queue: LocalQueue<Follow> = LocalQueue::unbounded();
            let (news, to) = (queue.clone(), senders[core - 1].clone());
            drop(host.spawn(async move {
                while let Some(follow) = news.pop().await {
                    if to.send(ToCore::Follow(ShardId(id), follow)).await.is_err() {
                        break;
                    }
                }
            }));
            queue
        }
    };
    (0..superblock.shards).map(inbox).collect()
}

fn acceptor<H: Host>(
    host: &H,
    common: &Common,
    superblock: &Superblock,
    stalls: &Stalls<H>,
    senders: &[H::Sender<ToCore<H::Parts>>],
) -> Rc<Acceptor<H>> {
    let (cores, incoming, senders) = (common.cores, stalls.incoming.clone(), senders.to_vec());
    let carrier = host.clone();
    let (limits, shards) = (common.config.limits.clone(), superblock.shards);
    let open = common.open.clone();
    Acceptor::new(host.clone(), limits, shards, common.open.clone(), move |shard, handoff| {
        match usize::from(shard.0) % cores {
            // A full queue is a core that stands still: the connection is dropped, the watchdog sees the core.
            0 => {
                if incoming[&shard].try_push(handoff).is_err() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            }
            core => {
                let (to, open) = (senders[core - 1].clone(), open.clone());
                drop(carrier.spawn(async move {
                    if to.send(ToCore::Serve(shard, handoff)).await.is_err() {
                        open.fetch_sub(1, Ordering::Relaxed);
                    }
                }));
            }
        }
    })
}

async fn take_reports<H: Host>(control: Rc<Shard<H>>, reports: LocalQueue<Report>) {
    while let Some(report) = reports.pop().await {
        control.take_report(report);
    }
}

async fn hear<H: Host>(from: H::Receiver<FromCore>, reports: LocalQueue<Report>, stopped: Rc<Cell<usize>>) {
    while let Some(word) = from.recv().await {
        match word {
            FromCore::Report(report) => drop(reports.try_push(report)),
            FromCore::Stopped => break,
        }
    }
    stopped.set(stopped.get() + 1);
}

async fn other_core<H: Host>(host: H, common: Common, ends: Others<H>) {
    let (from, to) = join2(host.receiver(ends.to_rx), host.sender(ends.from_tx)).await;
    let beating = Rc::new(Cell::new(true));
    drop(host.spawn(beat(host.clone(), common.handle.clone(), beating.clone())));
    let mut stalls: Option<Stalls<H>> = None;
    while let Some(word) = from.recv().await {
        match (word, &stalls) {
            (ToCore::Open(superblock), _) => {
                let words: LocalQueue<Report> = LocalQueue::unbounded();
                let (say, speaker) = (words.clone(), to.clone());
                drop(host.spawn(async move {
                    while let Some(report) = words.pop().await {
                        let _ = speaker.send(FromCore::Report(report)).await;
                    }
                }));
                match open_shards(&host, &common, &superblock, move |report| {
                    let _ = say.try_push(report);
                })
                .await
                {
                    Ok(opened) => stalls = Some(opened),
                    Err(error) => common.observer.failed(error),
                }
            }
            (ToCore::Follow(shard, follow), Some(stalls)) => drop(stalls.inboxes[&shard].try_push(follow)),
            (ToCore::Serve(shard, handoff), Some(stalls)) => drop(stalls.incoming[&shard].try_push(handoff)),
            (ToCore::Stop, _) => break,
            _ => {}
        }
    }
    if let Some(stalls) = stalls {
        stalls.close().await;
    }
    beating.set(false);
    let _ = to.send(FromCore::Stopped).await;
}

async fn beat<H: Host>(host: H, handle: Arc<Handle>, beating: Rc<Cell<bool>>) {
    while beating.get() {
        handle.beat(host.core().0);
        host.sleep(BEAT_EVERY).await;
    }
}
