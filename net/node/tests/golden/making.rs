//! How golden directories come to be: each one a life of a node on the simulated machine, the same every time. They
//! hold every kind of thing that this version writes. Nothing here is used to open one.

use super::DATA;
use super::common::*;
use super::ground::{Ground, Simulated};
use super::listing::Reader;
use super::packed::{formatted, pack, unpacked};
use bytes::Bytes;
use flumen_io::Host;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_model::batch::{BatchBuilder, Compression, Sequence};
use flumen_model::limits::{JOURNAL_BYTES_MIN, Limits};
use flumen_model::{GroupId, Offset, PartitionNumber, ProducerId, UnixMillis};
use flumen_node::check::{Report, check};
use flumen_node::repair::accept_loss;
use flumen_wire::*;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

/// A way to make a directory.
type Make = fn() -> MemWorld;

/// All golden directories, by name.
pub const ALL: &[(&str, Make)] =
    &[("closed", closed), ("killed", killed), ("turned", turned), ("damaged", damaged)];

const SECOND: Duration = Duration::from_secs(1);
const FOR_EVER: (&str, &str) = ("retention.ms", "-1");
const PASSING: [(&str, &str); 2] = [FOR_EVER, ("retention.bytes", "1000000")];
const SMALL_SEGMENTS: (&str, &str) = ("segment.bytes", "262144");

/// What `check` finds.
pub fn checked(ground: &impl Ground) -> Report {
    check(ground.machine(), ground.data().into(), Limits::simulation()).expect("the directory is readable")
}

/// A life of a node until its client returns.
fn live<F: Future<Output = ()> + 'static>(
    world: &MemWorld,
    shards: u16,
    life: impl FnOnce(Writer) -> F + Send + 'static,
) {
    let client = |host: MemHost| async move { life(Writer::connect(host).await).await };
    let seen = run_node(world, 1, 1, config(shards), |machine| machine, client);
    assert_eq!(seen.failed.get(), None);
}

/// A client that makes topics and writes to them.
struct Writer {
    host: MemHost,
    reader: Reader<MemHost>,
}

impl Writer {
    async fn connect(host: MemHost) -> Writer {
        let reader = Reader::connect(&host, NATIVE.parse().unwrap()).await;
        Writer { host, reader }
    }

    async fn create(&mut self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        self.reader
            .control
            .ask(&CreateTopicRequest { name: name.into(), partitions, settings })
            .await
            .unwrap();
        self.reader = Reader::connect(&self.host, NATIVE.parse().unwrap()).await;
    }

    async fn delete(&self, name: &str) {
        self.reader.control.ask(&DeleteTopicRequest { name: name.into() }).await.unwrap();
    }

    async fn home(&self, topic: &str, partition: usize) -> PartitionMetadata {
        let topics = self.reader.topics().await;
        let topic = topics.iter().find(|one| one.name == topic).expect("the topic is there");
        topic.partitions[partition].clone()
    }

    async fn produce(&self, topic: &str, partition: usize, batch: Bytes) -> Offset {
        let home = self.home(topic, partition).await;
        let request = ProduceRequest { group: home.group, acks: Acks::Quorum, batch };
        self.reader.owner(home.shard).ask(&request).await.unwrap().base_offset
    }

    async fn trim(&self, topic: &str, partition: usize, before_offset: u64) {
        let home = self.home(topic, partition).await;
        let request = TrimRequest { group: home.group, before_offset: Offset(before_offset) };
        self.reader.owner(home.shard).ask(&request).await.unwrap();
    }

    async fn producer(&self) -> ProducerId {
        self.reader.control.ask(&InitProducerRequest {}).await.unwrap().producer_id
    }

    async fn commit(&self, subscription: &str, positions: &[(GroupId, u64, &str)]) {
        let position = |(group, offset, metadata): &(GroupId, u64, &str)| Position {
            group: *group,
            offset: Offset(*offset),
            leader_epoch: 1,
            metadata: metadata.to_string(),
        };
        let positions = positions.iter().map(position).collect();
        let request = CommitPositionsRequest { subscription: subscription.into(), positions };
        self.reader.control.ask(&request).await.unwrap();
    }
}

/// A batch of `count` records with keys, headers, tombstones and all that a record may carry.
fn rich(codec: Compression, first: u64, count: u64, sequence: Option<(ProducerId, i16, i32)>) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20, codec).unwrap();
    for number in first..first + count {
        let key = format!("key {}", number % 7);
        let value = format!("record {number} of a golden directory; ").repeat(4);
        let headers: &[(&[u8], Option<&[u8]>)] = match number % 3 {
            0 => &[(b"trace", Some(b"7f")), (b"empty", Some(b"")), (b"none", None)],
            _ => &[],
        };
        let key = (number % 4 != 1).then_some(key.as_bytes());
        let value = (number % 5 != 2).then_some(value.as_bytes());
        builder.append(UnixMillis(1_700_000_000_000 + number as i64 * 250), key, value, headers).unwrap();
    }
    if let Some((producer_id, producer_epoch, base_sequence)) = sequence {
        builder.set_sequence(Sequence { producer_id, producer_epoch, base_sequence });
    }
    builder.finish()
}

/// A batch of one record of so many bytes, which hardly take any in the golden file.
fn bulky(number: u64, bytes: usize) -> Bytes {
    let mut value = format!("bulky {number}.").into_bytes();
    value.resize(bytes, b'a' + (number % 26) as u8);
    let mut builder = BatchBuilder::new(2 << 20, Compression::None).unwrap();
    builder.append(UnixMillis(1_700_000_000_000 + number as i64), None, Some(&value), &[]).unwrap();
    builder.finish()
}

/// A node that was stopped cleanly, with two shards and everything that a healthy one has.
fn closed() -> MemWorld {
    let world = formatted(config(2));
    live(&world, 2, |mut writer| async move {
        write_orders(&mut writer).await;
        write_segments(&mut writer).await;
        write_special(&mut writer).await;
        // Retention, spreading and the purge of what was deleted have their turn.
        writer.host.sleep(20 * SECOND).await;
    });
    // A second life: later terms, and something that is in the journal alone.
    live(&world, 2, |writer| async move {
        writer.produce("orders", 0, rich(Compression::Zstd, 500, 3, None)).await;
        writer.produce("special.memory", 0, rich(Compression::None, 20, 2, None)).await;
    });
    world
}

async fn write_orders(writer: &mut Writer) {
    writer.create("orders", 3, &[FOR_EVER, ("max.message.bytes", "1000000")]).await;
    for (number, codec) in Compression::ALL.into_iter().enumerate() {
        writer.produce("orders", 0, rich(codec, number as u64 * 10, 10, None)).await;
    }
    let (long, fenced) = (writer.producer().await, writer.producer().await);
    let late = writer.producer().await;
    for number in 0..7 {
        let sequence = Some((long, 0, number * 4));
        writer.produce("orders", 1, rich(Compression::Lz4, 100 + number as u64 * 4, 4, sequence)).await;
    }
    for (epoch, sequence) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
        let sequence = Some((fenced, epoch, sequence));
        writer.produce("orders", 1, rich(Compression::None, 200, 2, sequence)).await;
    }
    for base in [i32::MAX - 4, i32::MAX - 1, 1] {
        let sequence = Some((late, 3, base));
        writer.produce("orders", 1, rich(Compression::Snappy, 300, 3, sequence)).await;
    }
    let groups = [0, 1, 2].map(|number| writer.home("orders", number));
    let [one, two, three] = groups;
    let (one, two, three) = (one.await.group, two.await.group, three.await.group);
    writer.commit("billing", &[(one, 7, "as far as the invoice 4711"), (two, 30, "")]).await;
    writer.commit("billing", &[(one, 12, "further")]).await;
    writer.commit("audit", &[(three, 0, "nothing yet")]).await;
    writer.commit("forgotten", &[(one, 1, "")]).await;
    let forget = DeleteSubscriptionRequest { subscription: "forgotten".into() };
    writer.reader.control.ask(&forget).await.unwrap();
}

/// Partitions of several segments with their indexes, whole and trimmed.
async fn write_segments(writer: &mut Writer) {
    writer.create("rolled", 2, &[FOR_EVER, SMALL_SEGMENTS]).await;
    for number in 0..36 {
        for partition in 0..2 {
            writer.produce("rolled", partition, bulky(number, 30_000)).await;
        }
    }
    writer.trim("rolled", 1, 22).await;
}

async fn write_special(writer: &mut Writer) {
    writer.create("special.memory", 1, &[FOR_EVER, ("durability", "quorum-memory")]).await;
    writer.produce("special.memory", 0, rich(Compression::Gzip, 0, 12, None)).await;
    writer.create("special.stamped", 1, &[FOR_EVER, ("message.timestamp.type", "LogAppendTime")]).await;
    writer.produce("special.stamped", 0, rich(Compression::None, 0, 5, None)).await;
    writer.create("special.altered", 1, &[FOR_EVER, ("segment.ms", "86400000")]).await;
    let settings = [("segment.ms", ""), ("retention.bytes", "50000000")];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    let alter = AlterTopicRequest { name: "special.altered".into(), settings };
    writer.reader.control.ask(&alter).await.unwrap();
    writer.create("special.empty", 4, &[]).await;
    for name in ["deleted", "deleted.and.made.again"] {
        writer.create(name, 2, &[FOR_EVER, SMALL_SEGMENTS]).await;
        for number in 0..12 {
            writer.produce(name, 0, bulky(number, 30_000)).await;
        }
        writer.delete(name).await;
    }
    writer.create("deleted.and.made.again", 1, &[FOR_EVER]).await;
    writer.produce("deleted.and.made.again", 0, rich(Compression::None, 0, 2, None)).await;
}

/// A node that lost its power while it wrote: the last write is torn, records lie in the journal alone, and what is
/// written lazily is missing. The first such moment that is found is taken.
fn killed() -> MemWorld {
    let empty = pack(&formatted(config(1)), Path::new(DATA));
    for seed in 0.. {
        let world = unpacked(&empty, Path::new(DATA));
        let client = |host: MemHost| async move { busy(Writer::connect(host).await).await };
        let limit = |machine: MemMachine| machine.stop_after_polls(900 + seed % 50 * 30);
        run_node(&world, seed, 1, config(1), limit, client);
        world.crash(seed);
        let report = checked(&Simulated(world.clone()));
        assert_eq!(report.damage, [], "a crash is no damage");
        let written = report.partitions.len() == 4 && report.partitions.iter().all(|one| one.end.0 > 8);
        let spread = world.files().iter().any(|(path, _)| path.to_string_lossy().contains("/t/"));
        if report.torn > 0 && written && spread {
            return world;
        }
    }
    unreachable!("there is always another moment")
}

/// Writes to several partitions until the end of the world.
async fn busy(mut writer: Writer) {
    writer.create("busy", 2, &[FOR_EVER, SMALL_SEGMENTS]).await;
    writer.create("quiet", 1, &[FOR_EVER]).await;
    writer.create("memory", 1, &[FOR_EVER, ("durability", "quorum-memory")]).await;
    let producer = writer.producer().await;
    let group = writer.home("quiet", 0).await.group;
    for number in 0.. {
        writer.produce("busy", 0, bulky(number, 40_000)).await;
        let sequence = Some((producer, 0, number as i32 * 3));
        writer.produce("busy", 1, rich(Compression::Lz4, number, 3, sequence)).await;
        writer.produce("memory", 0, rich(Compression::None, number, 1, None)).await;
        if number % 3 == 0 {
            writer.produce("quiet", 0, rich(Compression::None, number, 2, None)).await;
            writer.commit("reader", &[(group, number / 3, "on its way")]).await;
        }
    }
}

/// A node whose journal has turned around: every file was used again, checkpoints carry what was in them.
fn turned() -> MemWorld {
    let world = formatted(config(1));
    live(&world, 1, |mut writer| async move {
        writer.create("kept", 2, &[FOR_EVER]).await;
        writer.create("passing", 1, &PASSING).await;
        let producer = writer.producer().await;
        writer.produce("kept", 0, rich(Compression::Gzip, 0, 8, Some((producer, 0, 0)))).await;
        writer.produce("kept", 1, rich(Compression::None, 50, 8, None)).await;
        let group = writer.home("kept", 0).await.group;
        writer.commit("reader", &[(group, 5, "before the turn")]).await;
        turn_journal(&writer).await;
        writer.produce("kept", 0, rich(Compression::Gzip, 8, 2, Some((producer, 0, 8)))).await;
        writer.host.sleep(20 * SECOND).await;
    });
    world
}

/// Writes until every file of the journal was used again.
async fn turn_journal(writer: &Writer) {
    let bytes = 1_000_000;
    for number in 0..JOURNAL_BYTES_MIN * 5 / 4 / bytes {
        writer.produce("passing", 0, bulky(number, bytes as usize)).await;
        writer.host.sleep(SECOND / 4).await;
    }
    let status = writer.reader.control.ask(&StatusRequest {}).await.unwrap().json;
    let turns = status.split("\"turns\":").nth(1).unwrap().split([',', '}']).next().unwrap();
    assert!(turns.parse::<u64>().unwrap() > 0, "the journal has turned: {status}");
}

/// A node with damage to acked records, in the journal and in sealed segments that no journal can mend any more: of
/// each some that an operator gave up and some that nobody did; and a topic that is whole.
fn damaged() -> MemWorld {
    let world = formatted(config(1));
    live(&world, 1, |mut writer| async move {
        for (name, first) in [("sealed", 0), ("sealed.given.up", 100)] {
            writer.create(name, 1, &[FOR_EVER, SMALL_SEGMENTS]).await;
            for number in first..first + 24 {
                writer.produce(name, 0, bulky(number, 30_000)).await;
            }
        }
        writer.create("passing", 1, &PASSING).await;
        turn_journal(&writer).await;
        for name in ["given.up", "hurt", "whole"] {
            writer.create(name, 1, &[FOR_EVER]).await;
        }
        for number in 0..24 {
            for name in ["given.up", "hurt", "whole"] {
                let value = format!("{name} {number}.");
                writer.produce(name, 0, batch(&[&value])).await;
            }
        }
        writer.host.sleep(5 * SECOND).await;
    });
    rot(&world, "/journal/", "given.up 9.");
    give_up(&world, "given.up");
    rot(&world, "/t/", "bulky 105.");
    give_up(&world, "sealed.given.up");
    rot(&world, "/journal/", "hurt 15.");
    rot(&world, "/t/", "bulky 3.");
    world
}

fn give_up(world: &MemWorld, topic: &str) {
    let machine = MemMachine::new(world.clone(), 4);
    let limits = Limits::simulation();
    accept_loss(machine, DATA.into(), limits, topic.into(), PartitionNumber(0)).expect("there is damage");
}

/// Flips a bit in the one place of such files where these bytes are.
fn rot(world: &MemWorld, folder: &str, needle: &str) {
    let files = world.files();
    for (path, _) in files.iter().filter(|(path, _)| path.to_string_lossy().contains(folder)) {
        let bytes = world.read_file(path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle.as_bytes()) {
            return world.corrupt(path, at as u64, 0x40).unwrap();
        }
    }
    panic!("{needle} is in no file of {folder}");
}
