//! Files of a killed node that somebody damages by hand: `check` names file and place, nothing damaged is ever served,
//! what is intact is, and a repair gives up what is damaged and not a record more.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod common;

use common::chance::Chance;
use common::{Node, assert_checks, flumen, said, start_command_with};
use flumen_client::blocking::Client;
use flumen_client::{ProducerSettings, Settings};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Damaged journals where nobody asks for more with `FLUMEN_DAMAGE_ROUNDS`.
const ROUNDS: u64 = 1;
/// Records of each partition where all of them are still in the journal.
const RECORDS: u64 = 150;

fn chance() -> Chance {
    Chance::of_run("damage", "FLUMEN_DAMAGE_SEED")
}

/// A record's value.
fn value(partition: u32, number: u64) -> String {
    format!("{partition} {number:06} {}", "x".repeat(100 * (number as usize % 20)))
}

/// Records `from..to` of a partition of `t`, one batch and one journal write each.
fn produce(node: &Node, partition: u32, numbers: Range<u64>) {
    let client = Client::new(&node.addr.to_string(), Settings::default());
    let mut producer = client.producer(ProducerSettings::default()).unwrap();
    for number in numbers {
        let value = value(partition, number);
        let offset = producer.send_and_wait("t", partition, None, Some(value.as_bytes())).unwrap();
        assert_eq!(offset.0, number);
    }
}

/// A killed node of two shards with two partitions, all of whose records are in the journals.
fn killed_node(directory: &Path) -> PathBuf {
    let node = Node::start(&directory.join("data"));
    node.ok(&["topic", "create", "t", "--partitions", "2"]);
    (0..2).for_each(|partition| produce(&node, partition, 0..RECORDS));
    let data = node.data.clone();
    node.kill();
    data
}

/// What `consume` prints of a partition from its start on, and how it ends.
fn consume(node: &Node, partition: u32, until: &[&str]) -> Output {
    let args = ["consume", "t", "--partition", &partition.to_string(), "--from", "start"];
    node.run(&[&args[..], until].concat())
}

/// A partition has these records and no others.
fn assert_serves(node: &Node, partition: u32, numbers: impl Iterator<Item = u64>) {
    let output = consume(node, partition, &["--to-end"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(numbers.map(|number| value(partition, number)).eq(text.lines()), "partition {partition}");
}

/// A partition is served up to its damage, which is told, and takes no records.
fn assert_serves_up_to(node: &Node, partition: u32, damaged_from: u64) {
    // Who follows does not wait there for ever.
    let output = consume(node, partition, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", String::from_utf8_lossy(&output.stderr));
    let wanted: Vec<String> = (0..damaged_from).map(|number| value(partition, number)).collect();
    let lines = text.lines().count();
    assert!(
        wanted.iter().eq(text.lines()),
        "partition {partition}: {lines} of {damaged_from} records are served"
    );
    let refused = node.feed(&["produce", "t", "--partition", &partition.to_string()], b"more\n");
    assert_eq!(refused.status.code(), Some(65), "{}", said(&refused));
    let described = node.json(&["topic", "describe", "t"]);
    let described = &described["partitions"][partition as usize];
    assert_eq!((&described["state"], &described["damaged_from"]), (&"damaged".into(), &damaged_from.into()));
}

/// What `check` says, which ends with this code.
fn checked(data: &Path, code: i32) -> Value {
    let output = flumen(&["--json", "check", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["whole"], code == 0);
    report
}

/// `check` names this place of this file, for people too.
fn assert_named(data: &Path, file: &Path, place: Range<u64>) -> Value {
    let report = checked(data, 65);
    let damage = report["damage"].as_array().unwrap();
    for one in damage {
        let keys = one.as_object().unwrap().keys().map(String::as_str);
        assert!(
            BTreeSet::from_iter(keys) == BTreeSet::from(["file", "position", "what", "topic", "partition"])
        );
    }
    let position =
        damage.iter().find(|one| one["file"] == file.to_str().unwrap()).map(|one| &one["position"]);
    let position = position.unwrap_or_else(|| panic!("{} is not named: {damage:?}", file.display()));
    assert!(place.contains(&position.as_u64().unwrap()), "{position} is not in {place:?}");
    let text = said(&flumen(&["check", data.to_str().unwrap()]));
    let line = format!("{} at byte {position}", file.display());
    assert!(text.contains(&line) && text.contains("DAMAGED"), "{text}");
    report
}

/// Gives a partition's damaged records up; the offsets that are lost.
fn repair(data: &Path, partition: u32) -> Vec<(u64, u64)> {
    let place = format!("t/{partition}");
    let output = flumen(&["--json", "repair", data.to_str().unwrap(), "--accept-loss", &place]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lost = report["lost"].as_array().unwrap().iter();
    lost.map(|one| (one["from"].as_u64().unwrap(), one["to"].as_u64().unwrap())).collect()
}

/// Flips a bit of one byte of a file.
fn flip_a_bit(path: &Path, position: u64, chance: &mut Chance) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[position as usize] ^= 1 << chance.below(8);
    std::fs::write(path, bytes).unwrap();
    eprintln!("a bit of byte {position} of {} is flipped", path.display());
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut number = [0; 8];
    number[..width].copy_from_slice(&bytes[at..at + width]);
    u64::from_le_bytes(number)
}

/// A batch in a journal file: where its write begins, its group, its offset, its bytes with the header.
#[derive(Clone, Debug)]
struct JournalBatch {
    file: PathBuf,
    write: u64,
    group: u64,
    offset: u64,
    bytes: Range<u64>,
}

const FILE_HEADER_BYTES: usize = 8192;
const FRAME_HEADER_BYTES: usize = 64;
const BLOCK_BYTES: usize = 4096;
const CHUNK_BYTES: u64 = 65_536;
const KIND_BATCH: u8 = 1;
const KIND_DIRECTORY: u8 = 9;

/// The batches of one use of a journal file, after the document of its format.
fn batches_of(file: &Path) -> Vec<JournalBatch> {
    let bytes = std::fs::read(file).unwrap();
    let first = number(&bytes, 56, 8);
    let (mut found, mut at) = (Vec::new(), FILE_HEADER_BYTES);
    while at + FRAME_HEADER_BYTES <= bytes.len() && number(&bytes, at + 8, 8) == first + at as u64 {
        let (kind, payload) = (bytes[at + 7], number(&bytes, at + 24, 4) as usize);
        let end = at + FRAME_HEADER_BYTES + payload;
        if kind == KIND_BATCH {
            found.push(JournalBatch {
                file: file.to_path_buf(),
                write: at as u64 - number(&bytes, at + 16, 4),
                group: number(&bytes, at + 32, 8),
                offset: number(&bytes, at + 56, 8),
                bytes: at as u64..end as u64,
            });
        }
        at = end.next_multiple_of(if kind == KIND_DIRECTORY { BLOCK_BYTES } else { 8 });
    }
    found
}

/// All batches of a group in a directory's journals, by offset.
fn batches_in_journals(data: &Path, group: u64) -> Vec<JournalBatch> {
    let files = files_below(data, |path| path.parent().unwrap().ends_with("journal"));
    let mut all: Vec<JournalBatch> = files.iter().flat_map(|file| batches_of(file)).collect();
    all.retain(|batch| batch.group == group);
    all.sort_by_key(|batch| batch.offset);
    all
}

/// The files in a directory and below it, by name.
fn files_below(directory: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The group of a partition of `t`, as a stopped node's directory has it.
fn group_of(data: &Path, partition: u64) -> u64 {
    let report = checked(data, 0);
    let partitions = report["partitions"].as_array().unwrap();
    partitions.iter().find(|one| one["partition"] == partition).unwrap()["group"].as_u64().unwrap()
}

#[test]
fn a_damaged_journal_is_named_its_partition_is_served_up_to_it_and_a_repair_gives_up_one_record() {
    let mut chance = chance();
    let rounds = std::env::var("FLUMEN_DAMAGE_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    for _ in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        let data = killed_node(directory.path());
        let hit = chance.below(2) as u32;
        let batches = batches_in_journals(&data, group_of(&data, hit.into()));
        assert_eq!(batches.len() as u64, RECORDS, "every record is in the journal");
        let batch = &batches[chance.below(RECORDS - 1) as usize];
        let (lost, rest) = (batch.offset, batch.offset + 1..RECORDS);
        flip_a_bit(
            &batch.file,
            batch.bytes.start + chance.below(batch.bytes.end - batch.bytes.start),
            &mut chance,
        );

        let report = assert_named(&data, &batch.file, batch.write..batch.bytes.end);
        for one in report["partitions"].as_array().unwrap() {
            let wanted = if one["partition"] == hit { lost.into() } else { Value::Null };
            assert_eq!(one["damaged_from"], wanted, "{report}");
        }
        // Twice: what was found once is not forgotten.
        for _ in 0..2 {
            let node = Node::start(&data);
            assert_serves_up_to(&node, hit, lost);
            assert_serves(&node, 1 - hit, 0..RECORDS);
            node.kill();
        }
        assert_eq!(repair(&data, hit), vec![(lost, lost + 1)]);
        let again = flumen(&["repair", data.to_str().unwrap(), "--accept-loss", &format!("t/{hit}")]);
        assert_eq!(again.status.code(), Some(64), "nothing more is given up: {}", said(&again));

        let node = Node::start(&data);
        assert_serves(&node, hit, (0..lost).chain(rest.clone()));
        produce(&node, hit, RECORDS..RECORDS + 10);
        node.kill();
        let node = Node::start(&data);
        assert_serves(&node, hit, (0..lost).chain(rest).chain(RECORDS..RECORDS + 10));
        assert_serves(&node, 1 - hit, 0..RECORDS);
    }
}

#[test]
fn a_damaged_copy_of_a_journal_files_header_costs_nothing() {
    let mut chance = chance();
    let directory = tempfile::tempdir().unwrap();
    let data = killed_node(directory.path());
    for file in files_below(&data, |path| path.parent().unwrap().ends_with("journal")) {
        let copy = chance.below(2) * BLOCK_BYTES as u64;
        flip_a_bit(&file, copy + chance.below(128), &mut chance);
    }
    assert_checks(&data, "each header has another copy");
    let node = Node::start(&data);
    (0..2).for_each(|partition| assert_serves(&node, partition, 0..RECORDS));
}

#[test]
fn a_journal_file_that_vanished_is_missed_and_its_partitions_do_not_pass_for_whole() {
    let directory = tempfile::tempdir().unwrap();
    let data = killed_node(directory.path());
    // Another file follows, which tells that there was one before.
    let node = Node::start(&data);
    (0..2).for_each(|partition| produce(&node, partition, RECORDS..RECORDS + 10));
    node.kill();
    let lost = batches_in_journals(&data, group_of(&data, 1))[0].file.clone();
    std::fs::remove_file(&lost).unwrap();
    let report = checked(&data, 65);
    let what = report["damage"][0]["what"].as_str().unwrap();
    assert!(what.starts_with("the journal file with number 1 is missing"), "{report}");
    assert!(!report["partitions"][1]["damaged_from"].is_null(), "{report}");
    let node = Node::start(&data);
    assert_serves(&node, 0, 0..RECORDS + 10);
    assert_eq!(consume(&node, 1, &[]).status.code(), Some(65));
    let refused = node.feed(&["produce", "t", "--partition", "1"], b"more\n");
    assert_eq!(refused.status.code(), Some(65), "{}", said(&refused));
}

/// Records of the only partition where none of them is in the journal any more.
const STORED: u64 = 2_000;
const SMALL_SEGMENTS: [&str; 1] = ["segment_bytes=256KiB"];

fn start_of_stored(data: &Path) -> Node {
    Node::restart(|| start_command_with(data, "127.0.0.1:0", 1, &SMALL_SEGMENTS), data)
}

/// A stopped node of one shard whose journal has turned since its records were written: they are in segments alone.
fn stored_node(directory: &Path) -> PathBuf {
    let data = directory.join("data");
    let node = start_of_stored(&data);
    node.ok(&["topic", "create", "t"]);
    produce(&node, 0, 0..STORED);
    node.ok(&["topic", "create", "other"]);
    let file = directory.join("lines");
    std::fs::write(&file, format!("{}\n", "x".repeat(60_000)).repeat(1_400)).unwrap();
    node.ok(&["produce", "other", "--file", file.to_str().unwrap()]);
    let (status, _, log) = node.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(batches_in_journals(&data, group_of(&data, 0)).is_empty(), "the journal has forgotten them");
    data
}

/// The files of the segments of `t` with this ending, oldest first.
fn segments(data: &Path, ending: &str) -> Vec<PathBuf> {
    let is_mine = |path: &Path| path.extension().is_some_and(|extension| extension == ending);
    let all = files_below(&data.join("shard-00/t"), is_mine);
    // `other` has more of them.
    let folder_of = |path: &PathBuf| path.parent().unwrap().to_path_buf();
    let count = |folder: &Path| all.iter().filter(|path| path.parent() == Some(folder)).count();
    let mine = all.iter().map(folder_of).min_by_key(|folder| count(folder)).expect("there are segments");
    all.into_iter().filter(|path| folder_of(path) == mine).collect()
}

#[test]
fn damaged_and_missing_indexes_are_named_and_cost_no_record() {
    let mut chance = chance();
    let directory = tempfile::tempdir().unwrap();
    let data = stored_node(directory.path());
    let indexes = segments(&data, "idx");
    assert!(indexes.len() > 3, "the log has rolled: {indexes:?}");
    // Somewhere in its header or its first entry, which every read needs.
    let place = chance.of(&[0, BLOCK_BYTES as u64]) + chance.below(32);
    flip_a_bit(&indexes[0], place, &mut chance);
    std::fs::remove_file(&indexes[1]).unwrap();
    let block = place / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
    let report = assert_named(&data, &indexes[0], block..place + 64);
    assert!(
        report["damage"].as_array().unwrap().iter().any(|one| one["file"] == indexes[1].to_str().unwrap())
    );
    assert_eq!(report["partitions"][0]["lost"].as_array().unwrap().len(), 0, "no record is lost");
    let node = start_of_stored(&data);
    assert_serves(&node, 0, 0..STORED);
    produce(&node, 0, STORED..STORED + 10);
    node.kill();
    assert_checks(&data, "indexes are made anew by whoever reads");
    assert_serves(&start_of_stored(&data), 0, 0..STORED + 10);
}

#[test]
fn a_damaged_segment_is_named_served_up_to_it_and_a_repair_gives_up_its_chunk_alone() {
    let mut chance = chance();
    let directory = tempfile::tempdir().unwrap();
    let data = stored_node(directory.path());
    let segment = chance.of(&segments(&data, "log"));
    let base: u64 = segment.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    // The first half: never the padding at the end.
    let place = chance.below(std::fs::metadata(&segment).unwrap().len() / 2);
    flip_a_bit(&segment, place, &mut chance);
    let chunk = place / CHUNK_BYTES * CHUNK_BYTES;
    let report = assert_named(&data, &segment, chunk..place + 1);
    let from = report["partitions"][0]["damaged_from"].as_u64().unwrap();
    assert!(from >= base && from < STORED, "{report}");

    for _ in 0..2 {
        let node = start_of_stored(&data);
        assert_serves_up_to(&node, 0, from);
        node.kill();
    }
    let lost = repair(&data, 0);
    let [(start, end)] = lost[..] else { panic!("{lost:?}") };
    // Batches that reach into the chunk go with it; the smallest has some 100 bytes.
    assert!(start == from && end - start < CHUNK_BYTES / 100, "{lost:?}");
    assert_checks(&data, "what was given up is no damage any more");
    let node = start_of_stored(&data);
    assert_serves(&node, 0, (0..start).chain(end..STORED));
    produce(&node, 0, STORED..STORED + 10);
    node.kill();
    assert_serves(&start_of_stored(&data), 0, (0..start).chain(end..STORED + 10));
}

#[test]
fn a_damaged_or_missing_superblock_copy_is_written_again_and_two_are_refused() {
    let mut chance = chance();
    let directory = tempfile::tempdir().unwrap();
    let data = killed_node(directory.path());
    let copies = ["super.A", "super.B"].map(|name| data.join(name));
    let wanted = copies.clone().map(|copy| std::fs::read(copy).unwrap());
    for copy in &copies {
        flip_a_bit(copy, chance.below(BLOCK_BYTES as u64), &mut chance);
        Node::start(&data).kill();
        std::fs::remove_file(copy).unwrap();
        Node::start(&data).kill();
        assert_eq!(
            copies.clone().map(|copy| std::fs::read(copy).unwrap()),
            wanted,
            "both copies are whole again"
        );
    }
    copies.iter().for_each(|copy| flip_a_bit(copy, chance.below(BLOCK_BYTES as u64), &mut chance));
    let refused =
        Node::try_start(&data, "127.0.0.1:0").err().expect("a node does not guess whose data it has");
    assert!(refused.contains("both copies of the superblock"), "{refused}");
    assert_eq!(flumen(&["check", data.to_str().unwrap()]).status.code(), Some(65));
    copies.iter().zip(&wanted).for_each(|(copy, bytes)| std::fs::write(copy, bytes).unwrap());
    let node = Node::start(&data);
    (0..2).for_each(|partition| assert_serves(&node, partition, 0..RECORDS));
}

#[test]
fn a_damaged_first_superblock_without_a_second_is_no_reason_to_format_what_has_data() {
    let mut chance = chance();
    let directory = tempfile::tempdir().unwrap();
    let data = killed_node(directory.path());
    let whole = std::fs::read(data.join("super.A")).unwrap();
    flip_a_bit(&data.join("super.A"), chance.below(BLOCK_BYTES as u64), &mut chance);
    std::fs::remove_file(data.join("super.B")).unwrap();
    if let Ok(node) = Node::try_start(&data, "127.0.0.1:0") {
        panic!("a node was formatted over data: {}", node.ok(&["topic", "list"]));
    }
    std::fs::write(data.join("super.A"), whole).unwrap();
    let node = Node::start(&data);
    (0..2).for_each(|partition| assert_serves(&node, partition, 0..RECORDS));
}
