//! Tests of the journal as a whole, on a simulated machine with a small ring: everything wraps around soon.

mod crash;
mod damage;
mod reading;
mod ring;
mod torn;
mod writing;

use bytes::Bytes;
use flumen_io::mem::{MemHost, MemMachine, MemWorld};
use flumen_io::{Host, Machine};
use flumen_model::{GroupId, Lsn, ShardId};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;
use uuid::Uuid;

use super::image::scan_image;
use super::plan::{self, Head};
use super::survey::Survey;
use super::*;

/// A ring of five files with 16 KiB of data each.
fn small() -> JournalSpec {
    JournalSpec {
        dir: "/data/0/journal".into(),
        file_bytes: 24 * 1024,
        files: 5,
        write_group_bytes_max: 8 * 1024,
        append_bytes_max: 3900,
        directory_id: Uuid::from_bytes([7; 16]),
        shard: ShardId(3),
        mark_idle: Duration::from_millis(1),
    }
}

/// Runs one core and returns what its main returned; `None` when it was stopped before.
fn run<T: Send + 'static, F: Future<Output = T> + 'static>(
    machine: MemMachine,
    main: impl FnOnce(MemHost) -> F + Send + 'static,
) -> Option<T> {
    let (tx, rx) = mpsc::channel();
    let main = move |host| async move { tx.send(main(host).await).expect("the test waits") };
    machine.run(vec![main]).expect("the run ends");
    rx.try_recv().ok()
}

/// Formats a journal.
fn formatted(world: &MemWorld, spec: &JournalSpec) {
    let spec = spec.clone();
    let main = |host: MemHost| async move {
        let shard = spec.dir.parent().expect("a shard's directory");
        host.create_dir_all(shard).await.expect("made");
        for above in shard.ancestors().skip(1) {
            host.sync_dir(above).await.expect("flushed");
        }
        format(&host, &spec, |_, _| {}).await
    };
    run(MemMachine::new(world.clone(), 1), main).expect("it ends").expect("a new directory is formatted");
}

/// The end of a running writer.
type Writer = Pin<Box<dyn Future<Output = flumen_model::Result<()>>>>;

/// Scans and opens, and starts the writer; acks go to `acked`.
async fn opened(
    host: &MemHost,
    spec: &JournalSpec,
    acked: mpsc::Sender<Durable>,
) -> (Rc<Journal<MemHost>>, Writer) {
    let report = scan(host, spec, &mut Seen::default()).await.expect("the journal is there");
    let journal = Rc::new(Journal::open(host, spec.clone(), &report).await.expect("a fresh file is begun"));
    let writing = Rc::clone(&journal);
    // A test that does not care has dropped the other end.
    let on_durable = move |durable| acked.send(durable).unwrap_or_default();
    let writer = host.spawn(async move { writing.run_writer(on_durable).await });
    (journal, Box::pin(writer))
}

/// What a scan showed.
#[derive(Default)]
struct Seen {
    writes: Vec<(Lsn, Vec<ScannedFrame>)>,
    lost: Vec<Damage>,
}

impl ScanVisitor for Seen {
    fn group(&mut self, start: Lsn, frames: &[ScannedFrame]) {
        assert!(self.writes.last().is_none_or(|(before, _)| *before < start), "in the order of positions");
        assert!(self.lost.last().is_none_or(|lost| lost.to <= start), "damage in its place among the writes");
        self.writes.push((start, frames.to_vec()));
    }

    fn lost(&mut self, damage: &Damage) {
        self.lost.push(damage.clone());
    }
}

impl Seen {
    fn frames(&self) -> Vec<Frame> {
        self.writes.iter().flat_map(|(_, frames)| frames.iter().map(|frame| frame.frame.clone())).collect()
    }
}

/// Scans files in memory.
fn scanned(spec: &JournalSpec, images: &[Bytes]) -> (Seen, ScanReport) {
    let head = |(slot, image): (usize, &Bytes)| Head::read(slot, image, image.len() as u64);
    let plan = plan::plan(images.iter().enumerate().map(head).collect(), spec)
        .expect("the files are this journal's");
    let mut seen = Seen::default();
    let mut survey = Survey::new(&mut seen);
    let mut infos = Vec::new();
    for stretch in &plan.stretches {
        let slot = stretch.slot.unwrap_or_default();
        // What is cut off reads as zeros.
        let mut image = images[slot].to_vec();
        image.resize(spec.file_bytes as usize, 0);
        infos.push(scan_image(spec.file_path(slot), &image.into(), stretch, &mut survey));
    }
    let report = scan::report(survey.finish(), infos);
    assert_eq!(report.damage, seen.lost, "the visitor saw all the damage");
    (seen, report)
}

/// The files of a journal as they lie on the device.
fn images(world: &MemWorld, spec: &JournalSpec) -> Vec<Bytes> {
    let image = |slot| Bytes::from(world.read_file(spec.file_path(slot)).expect("the file is there"));
    (0..spec.files).map(image).collect()
}

/// A frame that can be told from every other by its index.
fn frame(index: u64) -> Frame {
    let len = (index * 7919 % 1500) as usize;
    let payload: Vec<u8> = (0..len).map(|at| (index as usize * 31 + at * 7) as u8).collect();
    Frame {
        kind: [FrameKind::Batch, FrameKind::Command, FrameKind::Noop][(index % 3) as usize],
        group: GroupId(16 + index % 5),
        index,
        term: (index / 10) as u32 + 1,
        base_offset: index * 100,
        last_offset_delta: index as u32 % 100,
        payload: payload.into(),
    }
}

/// A small deterministic source of chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
