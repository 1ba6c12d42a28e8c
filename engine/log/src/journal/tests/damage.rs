//! Damage to what was acked is always reported, with its owners where the write's directory survives.

use super::*;
use crate::journal::file::{COPIES, DATA_START, FileHeader};
use flumen_model::limits::BLOCK_BYTES;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Of a file's header, in its block: less than this is no header.
const HEADER_BYTES: usize = 128;

/// A journal that was closed well: its files, and its writes with their frames. The last write is a mark.
struct Closed {
    spec: JournalSpec,
    images: Vec<Bytes>,
    writes: Vec<Write>,
}

struct Write {
    slot: usize,
    start: Lsn,
    end: Lsn,
    frames: Vec<ScannedFrame>,
}

/// Writes `appends` appends, some in one write, and closes.
fn closed(appends: u64) -> Closed {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    let main_spec = spec.clone();
    let main = move |host: MemHost| async move {
        let (acked, acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &main_spec, acked).await;
        for append in 0..appends {
            journal.append([frame(append * 2 + 1), frame(append * 2 + 2)]);
            if append % 3 != 0 {
                host.sleep(Duration::from_micros(300)).await;
            }
        }
        journal.close();
        writer.await.expect("nothing failed");
        acks.try_iter().collect::<Vec<_>>()
    };
    let acks = run(MemMachine::new(world.clone(), 1), main).expect("it ends");
    let images = images(&world, &spec);
    let (seen, report) = scanned(&spec, &images);
    assert_eq!((report.damage, report.torn), (vec![], None), "an unharmed journal is whole");
    assert_eq!(seen.frames(), (1..=appends * 2).map(frame).collect::<Vec<_>>());
    assert_eq!(seen.writes.len(), acks.len(), "a write is shown for every ack");
    assert!(report.durable >= acks.last().expect("acks").lsn_end, "the mark says that all is durable");
    let slot_of = |ack: &Durable| (ack.file_seq - 1) as usize;
    let writes = acks.iter().zip(seen.writes).map(|(ack, (start, frames))| {
        assert_eq!(start, ack.lsn_start);
        Write { slot: slot_of(ack), start, end: ack.lsn_end, frames }
    });
    Closed { spec, writes: writes.collect(), images }
}

impl Closed {
    fn with(&self, slot: usize, change: impl FnOnce(&mut Vec<u8>)) -> Vec<Bytes> {
        let mut images = self.images.clone();
        let mut image = images[slot].to_vec();
        change(&mut image);
        images[slot] = image.into();
        images
    }

    /// Every write is shown unharmed or reported lost; returns the numbers of the lost ones.
    fn judge(&self, images: &[Bytes], what: &str) -> (Vec<usize>, Vec<Damage>) {
        let (seen, report) = scanned(&self.spec, images);
        let mut shown = seen.writes.iter().peekable();
        let mut lost = Vec::new();
        for (number, write) in self.writes.iter().enumerate() {
            if let Some((_, frames)) = shown.next_if(|(start, _)| *start == write.start) {
                assert_eq!(frames, &write.frames, "{what}: write {number} is shown as it was written");
                continue;
            }
            let covers = |damage: &&Damage| damage.from <= write.start && write.end <= damage.to;
            let damage = report.damage.iter().find(covers);
            let damage = damage.unwrap_or_else(|| panic!("{what}: acked write {number} is lost in silence"));
            if let DamageOwners::Known(owners) = &damage.groups {
                assert_eq!(
                    (damage.from, damage.to),
                    (write.start, write.end),
                    "{what}: one write, one owner list"
                );
                owned(owners, &write.frames, what);
            }
            lost.push(number);
        }
        assert_eq!(shown.next(), None, "{what}: nothing is shown that was not written");
        (lost, report.damage)
    }
}

/// The owners are those of the frames.
fn owned(owners: &[Owner], frames: &[ScannedFrame], what: &str) {
    assert!(owners.is_sorted_by_key(|owner| owner.group));
    for owner in owners {
        let own: Vec<_> = frames.iter().map(|f| &f.frame).filter(|f| f.group == owner.group).collect();
        let index = |pick: fn(std::vec::IntoIter<u64>) -> Option<u64>| {
            pick(own.iter().map(|f| f.index).collect::<Vec<_>>().into_iter())
        };
        assert_eq!(own.len(), owner.frames as usize, "{what}");
        assert_eq!(
            (index(Iterator::min), index(Iterator::max)),
            (Some(owner.first_index), Some(owner.last_index))
        );
        assert_eq!(own.iter().fold(0, |kinds, f| kinds | f.kind.bit()), owner.kinds);
    }
    assert_eq!(owners.iter().map(|owner| owner.frames as usize).sum::<usize>(), frames.len(), "{what}");
}

/// The bytes of a write that hold frames, and where its directory begins, in its file.
fn places(write: &Write) -> (usize, usize, usize) {
    let at = |lsn: Lsn| ((lsn.0 - 1) % small().file_bytes + 1) as usize;
    let last = write.frames.last().expect("a write of frames");
    let directory = last.lsn.plus(frame_bytes(last.frame.payload.len()) as u64);
    (at(write.start), at(directory), at(write.end))
}

#[test]
fn damage_to_any_one_byte_loses_nothing_in_silence_and_names_the_owner() {
    let closed = closed(14);
    assert!(closed.writes.last().expect("writes").slot >= 1, "more than one file is live");
    for (number, write) in closed.writes.iter().enumerate() {
        let (start, directory, end) = places(write);
        for byte in start..end {
            let mask = 1 << (byte % 8);
            let what = format!("byte {byte} of file {}", write.slot);
            let images = closed.with(write.slot, |image| image[byte] ^= mask);
            let (lost, damage) = closed.judge(&images, &what);
            if byte < directory {
                // A gap of padding behind a payload may take the blow.
                assert!(lost == [number] || (lost.is_empty() && damage.is_empty()), "{what}: lost {lost:?}");
                assert!(
                    damage.iter().all(|damage| matches!(damage.groups, DamageOwners::Known(_))),
                    "{what}"
                );
            } else if byte >= directory + 64 {
                assert_eq!(
                    (lost, damage),
                    (vec![], vec![]),
                    "{what}: a directory's payload or padding holds no data"
                );
            } else {
                assert_eq!(lost, [number], "{what}: without its directory a write is not proven whole");
                assert!(damage.iter().all(|damage| damage.groups == DamageOwners::Unknown), "{what}");
            }
        }
    }
}

#[test]
fn damage_to_any_one_byte_behind_the_last_write_of_a_file_loses_nothing() {
    let closed = closed(14);
    let newest = closed.writes.last().expect("writes").slot;
    for slot in 0..=newest {
        let last = closed.writes.iter().rev().find(|write| write.slot == slot).expect("a write in each file");
        for byte in places(last).2..closed.spec.file_bytes as usize {
            let images = closed.with(slot, |image| image[byte] ^= 1 << (byte % 8));
            let what = format!("byte {byte} of file {slot}, behind its last write");
            assert_eq!(closed.judge(&images, &what), (vec![], vec![]), "{what}");
        }
    }
}

#[test]
fn damage_to_one_copy_of_a_file_header_loses_nothing() {
    let closed = closed(14);
    for slot in 0..2 {
        for byte in 0..COPIES * BLOCK_BYTES {
            let images = closed.with(slot, |image| image[byte] ^= 0x40);
            assert_eq!(closed.judge(&images, "header").0, [0; 0]);
        }
        let images = closed.with(slot, |image| image[..BLOCK_BYTES].fill(0));
        assert_eq!(closed.judge(&images, "a whole header block").0, [0; 0]);
    }
}

#[test]
fn the_loss_of_both_headers_of_a_file_is_damage_to_all_it_held() {
    let closed = closed(24);
    let newest = closed.writes.last().expect("writes").slot;
    assert!(newest >= 2);
    for slot in 0..=newest {
        let images = closed.with(slot, |image| image[..DATA_START as usize].fill(0xee));
        let (lost, damage) = closed.judge(&images, &format!("headers of file {slot}"));
        let held: Vec<_> =
            (0..closed.writes.len()).filter(|&write| closed.writes[write].slot == slot).collect();
        assert_eq!(lost, held);
        assert!(damage.iter().all(|damage| damage.groups == DamageOwners::Unknown));
        assert!(damage[0].what.contains(&format!("number {}", slot + 1)), "{}", damage[0].what);
    }
}

#[test]
fn a_file_cut_at_any_byte_is_damage_from_there_on() {
    let closed = closed(14);
    let newest = closed.writes.last().expect("writes").slot;
    for slot in 0..=newest {
        // Of the newest file its header must be left: without a trace of it nothing says that it ever was.
        let left = if slot == newest { HEADER_BYTES } else { 0 };
        for len in left..closed.spec.file_bytes as usize {
            let what = format!("file {slot} cut at {len}");
            let (lost, damage) = closed.judge(&closed.with(slot, |image| image.truncate(len)), &what);
            // The second half of a directory's header is zero, as is what is cut off.
            let gone = |write: &Write| write.slot == slot && places(write).1 + 32 > len;
            let expected: Vec<_> =
                (0..closed.writes.len()).filter(|&write| gone(&closed.writes[write])).collect();
            assert_eq!(lost, expected, "{what}");
            let short = slot == newest && len + BLOCK_BYTES <= closed.spec.file_bytes as usize;
            assert!(!damage.is_empty() || !short, "{what}: a short file is never taken for whole");
        }
    }
}

#[test]
fn without_a_trace_of_the_newest_file_what_was_acked_before_it_is_shown() {
    let closed = closed(14);
    let newest = closed.writes.last().expect("writes").slot;
    let before: Vec<_> = closed.writes.iter().filter(|write| write.slot < newest).collect();
    for len in 0..HEADER_BYTES {
        let (seen, _) = scanned(&closed.spec, &closed.with(newest, |image| image.truncate(len)));
        let shown = seen.writes.iter().map(|(start, frames)| (*start, frames));
        assert!(
            shown.eq(before.iter().map(|write| (write.start, &write.frames))),
            "cut at {len}: a prefix of what was acked, no less and nothing else"
        );
    }
}

#[test]
fn damage_to_several_writes_is_reported_for_each() {
    let closed = closed(14);
    for first in 0..closed.writes.len() - 2 {
        let mut images = closed.images.clone();
        for write in [&closed.writes[first], &closed.writes[first + 2]] {
            let mut image = images[write.slot].to_vec();
            image[places(write).0 + 70] ^= 1;
            images[write.slot] = image.into();
        }
        let (lost, _) = closed.judge(&images, &format!("writes {first} and {}", first + 2));
        assert_eq!(lost, [first, first + 2]);
        let mut both = images.clone();
        let next = &closed.writes[first + 1];
        let mut image = both[next.slot].to_vec();
        image[places(next).0..places(next).2].fill(0);
        both[next.slot] = image.into();
        assert_eq!(closed.judge(&both, "three in a row").0, [first, first + 1, first + 2]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_damaged_nothing_acked_is_lost_in_silence(
        blows in vec((any::<Index>(), any::<Index>(), 1..=255u8, 1..700usize), 1..6)
    ) {
        // One journal for all cases.
        thread_local!(static CLOSED: Closed = closed(24));
        CLOSED.with(|closed| {
            let mut images: Vec<_> = closed.images.iter().map(|image| image.to_vec()).collect();
            for (write, byte, mask, len) in &blows {
                let write = write.get(&closed.writes);
                let (start, _, end) = places(write);
                let at = start + byte.index(end - start);
                for byte in &mut images[write.slot][at..(at + len).min(end)] {
                    *byte ^= mask;
                }
            }
            closed.judge(&images.into_iter().map(Bytes::from).collect::<Vec<_>>(), "blows");
        });
    }

    #[test]
    fn a_scan_of_any_bytes_ends_and_believes_nothing(data in vec(any::<u8>(), 0..40_000)) {
        let report = fuzz_scan_file(&data);
        prop_assert_eq!((report.groups, report.damage), (0, vec![]));
    }

    #[test]
    fn a_scan_of_a_mangled_file_ends(
        cuts in vec((any::<Index>(), any::<Index>(), 0..3000usize), 1..8), mask in any::<u8>()
    ) {
        thread_local!(static CLOSED: Closed = closed(14));
        let mut image = CLOSED.with(|closed| closed.images[1].to_vec());
        for (from, to, len) in &cuts {
            let (from, to) = (from.index(image.len()), to.index(image.len()));
            let len = (*len).min(image.len() - from.max(to));
            let moved: Vec<_> = image[from..from + len].iter().map(|byte| byte ^ (mask & 1)).collect();
            image[to..to + len].copy_from_slice(&moved);
        }
        let report = fuzz_scan_file(&image);
        prop_assert!(report.bytes <= image.len() as u64);
    }
}

#[test]
fn files_of_another_directory_or_twice_the_same_are_refused_by_name() {
    let closed = closed(3);
    let heads = |images: &[Bytes]| {
        images.iter().enumerate().map(|(slot, image)| Head::read(slot, image, image.len() as u64)).collect()
    };
    let refused = |images: &[Bytes], spec: &JournalSpec| match plan::plan(heads(images), spec) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.message,
    };
    let other = JournalSpec { directory_id: Uuid::nil(), ..closed.spec.clone() };
    let message = refused(&closed.images, &other);
    assert!(message.contains("J0000") && message.contains("07070707"), "{message}");
    let other = JournalSpec { shard: ShardId(9), ..closed.spec.clone() };
    assert!(refused(&closed.images, &other).contains("shard 3"));
    let mut twice = closed.images.clone();
    twice[3] = twice[0].clone();
    let message = refused(&twice, &closed.spec);
    assert!(message.contains("J0000") && message.contains("J0003"), "{message}");
}

#[test]
fn damage_stays_reported_after_the_journal_goes_on_and_until_its_file_is_released() {
    stays_reported(&closed(14));
    // Nothing but a mark is intact in its file.
    stays_reported(&closed(1));
}

fn stays_reported(closed_journal: &Closed) {
    let (world, spec) = (MemWorld::new(), closed_journal.spec.clone());
    formatted(&world, &spec);
    let write = &closed_journal.writes[1.min(closed_journal.writes.len() - 1)];
    let broken = closed_journal.with(write.slot, |image| image[places(write).0 + 80] ^= 1);
    let (_, before) = scanned(&spec, &broken);
    let main_spec = spec.clone();
    let main = move |host: MemHost| async move {
        put(&host, &main_spec, &broken).await;
        let (acked, _acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &main_spec, acked).await;
        journal.append([frame(1000)]);
        host.sleep(Duration::from_millis(5)).await;
        let again = scan(&host, &main_spec, &mut Seen::default()).await.expect("readable");
        let oldest = journal.oldest().expect("live files");
        journal.release(oldest.seq);
        while journal.oldest().expect("live files").seq == oldest.seq + 1 && journal.live_files() < 4 {
            journal.append([frame(1001)]);
            host.sleep(Duration::from_millis(5)).await;
        }
        journal.close();
        writer.await.expect("nothing failed");
        let released = scan(&host, &main_spec, &mut Seen::default()).await.expect("readable");
        (again.damage, released.damage)
    };
    let (again, released) = run(MemMachine::new(world, 9), main).expect("it ends");
    assert_eq!(again, before.damage);
    assert_eq!(released, []);
}

/// Puts whole files in the place of a journal's.
async fn put(host: &MemHost, spec: &JournalSpec, images: &[Bytes]) {
    use flumen_io::{Access, Buf, Durability, File};
    for (slot, image) in images.iter().enumerate() {
        let file = host.open(&spec.file_path(slot), Access::WRITE).await.expect("there");
        let mut buf = host.buf(image.len());
        buf.bytes_mut().copy_from_slice(image);
        file.write_at(buf, 0, Durability::Volatile).await.0.expect("written");
        file.sync_data().await.expect("flushed");
    }
}

#[test]
fn the_header_of_a_file_says_where_the_one_before_ended() {
    let closed = closed(24);
    let header = |slot: usize| FileHeader::newest(&closed.images[slot]).expect("a header");
    for slot in 1..=closed.writes.last().expect("writes").slot {
        let last = closed.writes.iter().rev().find(|write| write.slot == slot - 1).expect("a write");
        assert_eq!(header(slot).previous_end, last.end);
        assert_eq!(header(slot).previous_nonce, header(slot - 1).nonce);
    }
}
