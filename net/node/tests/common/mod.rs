//! A node on the simulated machine with a scripted client beside it, for the tests of this crate.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod chance;
pub mod raw;

use bytes::{Buf, Bytes, BytesMut};
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_io::{Host, Read, Stream};
use flumen_model::batch::{BatchBuilder, BatchView, Batches, Compression};
use flumen_model::limits::{FRAME_BYTES_MAX, Limits};
use flumen_model::topic::TopicSettings;
use flumen_model::{Error, GroupId, Offset, Result, ShardId, UnixMillis};
use flumen_node::{Handle, Main, NodeConfig, Observer, mains};
use flumen_wire::*;
use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub type MemHost = <MemMachine as flumen_io::Machine>::Host;

pub const NATIVE: &str = "127.0.0.1:9644";

pub fn config(shards: u16) -> NodeConfig {
    NodeConfig {
        data: PathBuf::from("/data"),
        require_existing: false,
        native: NATIVE.parse().unwrap(),
        shards,
        limits: Limits::simulation(),
        topic_defaults: TopicSettings::default(),
        version: "test",
    }
}

#[derive(Default)]
pub struct Seen {
    pub ready: OnceLock<SocketAddr>,
    pub failed: OnceLock<Error>,
}

impl Observer for Seen {
    fn formatting(&self, _: u64, _: u64) {}

    fn ready(&self, native: SocketAddr) {
        let _ = self.ready.set(native);
    }

    fn failed(&self, error: Error) {
        let _ = self.failed.set(error);
    }
}

/// Runs a node on `cores` simulated cores with a client on one more, until the client returns (a clean stop) or
/// the machine is stopped by `limit` (a kill).
pub fn run_node<F>(
    world: &MemWorld,
    seed: u64,
    cores: usize,
    config: NodeConfig,
    limit: impl FnOnce(MemMachine) -> MemMachine,
    client: impl FnOnce(MemHost) -> F + Send + 'static,
) -> Arc<Seen>
where
    F: Future<Output = ()> + 'static,
{
    let mut machine = limit(MemMachine::new(world.clone(), seed));
    let seen = Arc::new(Seen::default());
    let handle = Arc::new(Handle::new(cores));
    let mut all: Vec<Main<MemHost>> = mains(&mut machine, cores, config, seen.clone(), handle.clone());
    let eyes = seen.clone();
    all.push(Box::new(move |host: MemHost| {
        Box::pin(async move {
            while eyes.ready.get().is_none() {
                assert!(eyes.failed.get().is_none(), "the node failed: {:?}", eyes.failed.get());
                host.sleep(Duration::from_millis(1)).await;
            }
            client(host).await;
            handle.stop();
        })
    }));
    flumen_io::Machine::run(machine, all).expect("the simulated machine runs to its end");
    seen
}

/// A client of one connection that asks and waits.
pub struct Asker<H: Host = MemHost> {
    stream: H::Stream,
    received: RefCell<BytesMut>,
    next: RefCell<u32>,
    pub pushes: RefCell<Vec<(u32, Bytes)>>,
    pub ended: RefCell<Vec<(u32, Error)>>,
}

impl<H: Host> Asker<H> {
    pub async fn connect(host: &H, shard: u16) -> Rc<Asker<H>> {
        Asker::connect_to(host, NATIVE.parse().unwrap(), shard).await
    }

    pub async fn connect_to(host: &H, native: SocketAddr, shard: u16) -> Rc<Asker<H>> {
        let stream = host.connect(native).await.unwrap();
        let asker = Rc::new(Asker {
            stream,
            received: RefCell::default(),
            next: RefCell::new(1),
            pushes: RefCell::default(),
            ended: RefCell::default(),
        });
        let mut out = BytesMut::new();
        encode_opening(0, &HelloRequest::new("test", Some(ShardId(shard))), &mut out).unwrap();
        asker.send(out.freeze()).await;
        let (_, body) = asker.reply().await.expect("a hello is answered");
        let hello = decode_reply::<HelloRequest>(&body).unwrap();
        assert_eq!(hello.shard, ShardId(shard));
        asker
    }

    pub async fn send(&self, bytes: Bytes) {
        let _ = self.stream.write(vec![bytes]).await;
    }

    /// The next frame; pushes are put aside.
    pub async fn reply(&self) -> Option<(u32, Bytes)> {
        loop {
            let (correlation, role, kind, body) = self.frame().await?;
            match (role, kind) {
                (Role::Reply, _) => return Some((correlation, body)),
                (_, FrameKind::Push) => self.pushes.borrow_mut().push((correlation, body)),
                _ => self.ended.borrow_mut().push((correlation, decode_push_end(&body).unwrap())),
            }
        }
    }

    /// Waits until there are pushes, and takes them.
    pub async fn take_pushes(&self) -> Vec<(u32, Bytes)> {
        if self.pushes.borrow().is_empty() {
            let Some((correlation, role, kind, body)) = self.frame().await else { return Vec::new() };
            assert_eq!((role, kind), (Role::Push, FrameKind::Push), "nothing was asked");
            self.pushes.borrow_mut().push((correlation, body));
        }
        self.pushes.take()
    }

    async fn frame(&self) -> Option<(u32, Role, FrameKind, Bytes)> {
        loop {
            let mut received = self.received.take();
            if let Next::Frame { header, frame_bytes } = frame::next(&received, FRAME_BYTES_MAX).unwrap() {
                let mut frame = received.split_to(frame_bytes);
                self.received.replace(received);
                frame.advance(FRAME_HEADER_BYTES);
                let (kind, role) = FrameKind::of_number(header.kind()).unwrap();
                return Some((header.correlation(), role, kind, frame.freeze()));
            }
            received.reserve(64 * 1024);
            let (read, buf) = self.stream.read(received).await;
            self.received.replace(buf);
            if !matches!(read, Ok(Read::Bytes(_))) {
                return None;
            }
        }
    }

    pub async fn ask<R: Request>(&self, request: &R) -> Result<R::Reply> {
        let correlation = *self.next.borrow();
        *self.next.borrow_mut() += 1;
        let mut out = BytesMut::new();
        encode_request(correlation, request, &mut out).unwrap();
        self.send(out.freeze()).await;
        let (answered, body) = self.reply().await.expect("the connection lives");
        assert_eq!(answered, correlation, "replies come in the order of requests");
        decode_reply::<R>(&body)
    }

    pub async fn produce(&self, group: GroupId, values: &[&str]) -> Result<Offset> {
        let request = ProduceRequest { group, acks: Acks::Quorum, batch: batch(values) };
        Ok(self.ask(&request).await?.base_offset)
    }

    pub async fn create(&self, name: &str, partitions: u32) -> Vec<GroupId> {
        let request = CreateTopicRequest { name: name.into(), partitions, settings: Vec::new() };
        self.ask(&request).await.unwrap();
        self.groups(name).await
    }

    pub async fn groups(&self, name: &str) -> Vec<GroupId> {
        let topics = self.ask(&MetadataRequest { topics: vec![name.into()] }).await.unwrap().topics;
        topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| partition.group)).collect()
    }

    /// All values from an offset on.
    pub async fn read_all(&self, group: GroupId, from: u64) -> Result<Vec<(u64, String)>> {
        let mut values = Vec::new();
        let mut offset = Offset(from);
        loop {
            let request = FetchRequest { group, offset, bytes_max: 64 * 1024, wait_ms: 0, bytes_min: 0 };
            let reply = self.ask(&request).await?;
            if reply.batches.is_empty() {
                return Ok(values);
            }
            for (at, value) in values_of(&reply.batches) {
                if at >= offset.0 {
                    values.push((at, value));
                }
            }
            offset = Offset(values.last().unwrap().0 + 1);
        }
    }
}

pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20, Compression::None).unwrap();
    for value in values {
        builder.append(UnixMillis(1_000), None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish()
}

pub fn values_of(batches: &Bytes) -> Vec<(u64, String)> {
    let mut values = Vec::new();
    for view in Batches::new(batches) {
        let view: BatchView<'_> = view;
        view.check_crc().unwrap();
        for record in flumen_model::records::Records::new(&view, view.payload()) {
            let record = record.unwrap();
            values.push((record.offset.0, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
    values
}
