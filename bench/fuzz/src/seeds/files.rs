//! Files: a journal file, a superblock, a partition's state and index, and edits for the recovery target. Written by
//! the real writers on a simulated machine, whose chance is a seed too.

use super::strangers::batch;
use super::{Seed, seed};
use crate::targets::{EDIT_BYTES, on_core, recovery_files};
use bytes::Bytes;
use flumen_io::Host;
use flumen_io::mem::{MemHost, MemWorld};
use flumen_log::RollLimits;
use flumen_log::journal::{self, Frame, FrameKind, Journal, JournalSpec, ScanReport, ScanVisitor};
use flumen_log::segment::{BatchRef, OpenFiles, Segments, SegmentsSpec};
use flumen_log::superblock::{FEATURES_KNOWN, FORMAT_VERSION, Superblock};
use flumen_model::batch::{BatchView, Compression, assign};
use flumen_model::limits::BLOCK_BYTES;
use flumen_model::{GroupId, Lsn, Offset, ShardId};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

pub(super) fn seeds() -> Vec<Seed> {
    let mut seeds = vec![superblock()];
    seeds.extend(journals());
    seeds.extend(segments());
    seeds.extend(edits());
    seeds
}

fn superblock() -> Seed {
    let world = MemWorld::new();
    let block = Superblock {
        sequence: 3,
        format_version: FORMAT_VERSION,
        reader_version_min: 1,
        finalized_version: 1,
        features: FEATURES_KNOWN,
        directory_id: Uuid::from_u128(6),
        cluster_id: Uuid::nil(),
        node_name: "seed".into(),
        shards: 2,
        journal_files: 8,
        journal_file_bytes: 64 << 20,
        created_ms: 1_700_000_000_000,
    };
    on_core(&world, |host| async move {
        host.create_dir_all(Path::new("/data")).await.expect("made");
        block.create(&host, Path::new("/data")).await.expect("the disk is well");
    });
    seed("superblock", "one", world.read_file("/data/super.A").expect("written"))
}

/// Nobody looks at a fresh journal.
struct Nobody;

impl ScanVisitor for Nobody {
    fn group(&mut self, _: Lsn, _: &[journal::ScannedFrame]) {}

    fn lost(&mut self, _: &journal::Damage) {}
}

fn journals() -> Vec<Seed> {
    let spec = JournalSpec {
        dir: "/data/0/journal".into(),
        file_bytes: 32 * 1024,
        files: 4,
        write_group_bytes_max: 8 * 1024,
        append_bytes_max: 3900,
        directory_id: Uuid::from_bytes([7; 16]),
        shard: ShardId(0),
        mark_idle: Duration::from_millis(1),
    };
    let (world, path) = (MemWorld::new(), spec.dir.join("J0000"));
    let end = on_core(&world, |host| async move {
        host.create_dir_all(&spec.dir).await.expect("made");
        journal::format(&host, &spec, |_, _| {}).await.expect("a fresh directory is formatted");
        let report = journal::scan(&host, &spec, &mut Nobody).await.expect("it is there");
        write_journal(&host, spec, &report).await
    });
    let mut image = world.read_file(path).expect("written");
    // Behind the last write is the noise of formatting; a block of it is enough.
    image.truncate(end + BLOCK_BYTES);
    let mut torn = image.clone();
    torn[end - BLOCK_BYTES..end].fill(0);
    vec![seed("journal", "closed", &image), seed("journal", "torn", torn)]
}

/// Writes a frame of every kind; tells where the last write ends in the file.
async fn write_journal(host: &MemHost, spec: JournalSpec, report: &ScanReport) -> usize {
    const KINDS: [FrameKind; 8] = [
        FrameKind::Point,
        FrameKind::Batch,
        FrameKind::Command,
        FrameKind::HardState,
        FrameKind::Conf,
        FrameKind::Noop,
        FrameKind::CheckpointPart,
        FrameKind::Checkpoint,
    ];
    let journal = Rc::new(Journal::open(host, spec, report).await.expect("a fresh file is begun"));
    let (writing, (sender, ends)) = (journal.clone(), std::sync::mpsc::channel());
    let on_durable = move |durable: journal::Durable| sender.send(durable.lsn_end).expect("somebody waits");
    let writer = host.spawn(async move { writing.run_writer(on_durable).await });
    for (number, kinds) in KINDS.chunks(3).enumerate() {
        let frame = |kind: &FrameKind| Frame {
            kind: *kind,
            group: GroupId(16 + number as u64 % 2),
            index: number as u64 + 2,
            term: 1,
            base_offset: number as u64 * 10,
            last_offset_delta: 4,
            payload: Bytes::from(vec![number as u8; 90]),
        };
        journal.append(kinds.iter().map(frame).collect::<Vec<_>>());
        host.sleep(Duration::from_micros(500)).await;
    }
    journal.close();
    writer.await.expect("nothing failed");
    let end = ends.try_iter().last().expect("something was written");
    // The first file's positions begin where the journal begins.
    (end.0 - ends_origin(report)) as usize
}

fn ends_origin(report: &ScanReport) -> u64 {
    report.files.first().map_or(1, |file| file.span.first.0)
}

fn segments() -> Vec<Seed> {
    let world = MemWorld::new();
    let (states, names) = on_core(&world, |host| async move {
        let spec = SegmentsSpec { dir: "/data/t/0".into(), seed: 7, open_files: Rc::new(OpenFiles::new(8)) };
        let segments = Segments::empty(spec);
        let roll = RollLimits { segment_bytes: 8 * 1024, segment_ms: u64::MAX };
        let mut states = Vec::new();
        for number in 0..60 {
            segments.push(stored(number));
            if number % 20 == 7 {
                segments.spread(&host, true, roll).await.expect("the disk is well");
                states.push(segments.state().encode());
            }
        }
        states.push(segments.state().encode());
        (states, host.list_dir(Path::new("/data/t/0")).await.expect("listed"))
    });
    let mut seeds: Vec<_> =
        states.iter().enumerate().map(|(at, state)| seed("segment_state", format!("{at}"), state)).collect();
    // The target takes each block for itself, under the first segment's name.
    let index = names.iter().find(|path| path.extension().is_some_and(|kind| kind == "idx"));
    let index = world.read_file(index.expect("a segment was rolled")).expect("written");
    let blocks = index.chunks(BLOCK_BYTES).enumerate();
    seeds.extend(blocks.map(|(at, block)| seed("segment_index", format!("block-{at}"), block)));
    seeds
}

fn stored(number: u64) -> BatchRef {
    let mut bytes = batch(Compression::None, 3, None).to_vec();
    assign(&mut bytes, Offset(number * 4), 1);
    let view = BatchView::parse(&bytes).expect("just built");
    let (last_offset, max_timestamp) = (view.last_offset().0, view.max_timestamp().0);
    BatchRef {
        index: number + 2,
        term: 1,
        base_offset: number * 4,
        last_offset,
        max_timestamp,
        bytes: bytes.into(),
    }
}

/// One edit in each file, and one list of several.
fn edits() -> Vec<Seed> {
    let edit = |file: usize, position: u32, run: u16| {
        let mut edit = vec![file as u8, 0x80];
        edit.extend(run.to_le_bytes());
        edit.extend(position.to_le_bytes());
        assert_eq!(edit.len(), EDIT_BYTES);
        edit
    };
    let mut seeds = vec![seed("recovery", "unharmed", [])];
    let mut all = Vec::new();
    for (file, (_, size)) in recovery_files().iter().enumerate() {
        let one = edit(file, (*size / 3) as u32, 63);
        all.extend(&one);
        seeds.push(seed("recovery", format!("file-{file:02}"), one));
        seeds.push(seed("recovery", format!("front-{file:02}"), edit(file, 8192, 0)));
    }
    seeds.push(seed("recovery", "all", all));
    seeds
}
