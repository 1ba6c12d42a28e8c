//! The ring: it goes round and round, never over what is needed, and grows rather than stop.

use super::*;
use flumen_model::limits::BLOCK_BYTES;

fn large(index: u64) -> Frame {
    Frame { payload: Bytes::from(vec![index as u8; 3000]), ..frame(index) }
}

#[test]
fn the_ring_goes_round_many_times_and_keeps_what_is_not_released() {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    let main_spec = spec.clone();
    let main = move |host: MemHost| async move {
        let (acked, acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &main_spec, acked).await;
        for index in 1..=400 {
            while !journal.admits(frame_bytes(3000)) {
                journal.release(journal.oldest().expect("live files").seq);
            }
            journal.append([large(index)]);
            host.sleep(Duration::from_micros(200)).await;
        }
        let (turns, live, free) = (journal.turns(), journal.live_files(), journal.free_files());
        journal.close();
        writer.await.expect("nothing failed");
        let (seen, acks) = (Seen::scan(&host, &main_spec).await, acks.try_iter().collect::<Vec<_>>());
        (turns, live, free, seen.frames(), acks)
    };
    let (turns, live, free, frames, acks) = run(MemMachine::new(world, 4), main).expect("it ends");
    assert!(turns >= 15, "{turns} turns");
    assert_eq!(live + free, 5, "the ring did not grow");
    assert!(free >= 2, "appends leave two files for checkpoints");
    assert_eq!(frames.last(), Some(&large(400)));
    let first = frames.first().expect("frames").index;
    assert_eq!(frames, (first..=400).map(large).collect::<Vec<_>>());
    assert!(
        acks.windows(2).all(|pair| pair[0].lsn_end <= pair[1].lsn_start),
        "positions are never used again"
    );
}

impl Seen {
    async fn scan(host: &MemHost, spec: &JournalSpec) -> Seen {
        let mut seen = Seen::default();
        let report = scan(host, spec, &mut seen).await.expect("readable");
        assert_eq!(report.damage, []);
        seen
    }
}

#[test]
fn what_is_admitted_fits_whatever_is_queued_and_the_reserve_stays() {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    let main_spec = spec.clone();
    let main = move |host: MemHost| async move {
        let (acked, _acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &main_spec, acked).await;
        let mut dice = Dice(3);
        let mut admitted = 0;
        loop {
            let len = dice.below(3700) as usize;
            if !journal.admits(frame_bytes(len)) {
                break;
            }
            admitted += 1;
            journal.append([Frame { payload: vec![1; len].into(), ..frame(admitted) }]);
            if dice.below(4) == 0 {
                host.sleep(Duration::from_micros(100)).await;
            }
        }
        host.sleep(Duration::from_millis(20)).await;
        let free = journal.free_files();
        journal.close();
        writer.await.expect("nothing failed");
        (admitted, free, Seen::scan(&host, &main_spec).await.frames().len() as u64)
    };
    let (admitted, free, found) = run(MemMachine::new(world, 4), main).expect("it ends");
    assert!(admitted > 4 && free >= 2, "{admitted} appends, {free} free files");
    assert_eq!(found, admitted);
}

#[test]
fn a_ring_without_a_free_file_grows_by_one() {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    let main_spec = spec.clone();
    let main = move |host: MemHost| async move {
        let (acked, _acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &main_spec, acked).await;
        for index in 1..=30 {
            // Nobody asks whether there is room and nobody releases.
            journal.append([large(index)]);
            host.sleep(Duration::from_millis(1)).await;
        }
        journal.close();
        writer.await.expect("nothing failed");
        let (acked, _acks) = mpsc::channel();
        let (again, writer) = opened(&host, &main_spec, acked).await;
        again.append([large(31)]);
        again.close();
        writer.await.expect("nothing failed");
        Seen::scan(&host, &main_spec).await.frames()
    };
    let frames = run(MemMachine::new(world.clone(), 4), main).expect("it ends");
    assert_eq!(frames, (1..=31).map(large).collect::<Vec<_>>());
    assert!(world.files().len() > spec.files, "files were added");
    assert!(world.files().iter().all(|(_, bytes)| *bytes == spec.file_bytes));
}

#[test]
fn starts_without_appends_use_up_no_files() {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    for start in 0..20 {
        let main_spec = spec.clone();
        let main = move |host: MemHost| async move {
            let (acked, _acks) = mpsc::channel();
            let (journal, writer) = opened(&host, &main_spec, acked).await;
            if start == 0 {
                journal.append([frame(1)]);
            }
            host.sleep(Duration::from_millis(3)).await;
            journal.close();
            writer.await.expect("nothing failed");
            (journal.live_files(), Seen::scan(&host, &main_spec).await.frames())
        };
        let (live, frames) = run(MemMachine::new(world.clone(), start), main).expect("it ends");
        assert_eq!((live, frames), (if start == 0 { 1 } else { 2 }, vec![frame(1)]), "start {start}");
        world.crash(start);
    }
}

#[test]
fn a_file_that_was_cut_short_is_made_whole_before_it_is_used_again() {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    world.cut(spec.file_path(0), BLOCK_BYTES as u64).expect("there");
    let main_spec = spec.clone();
    let main = move |host: MemHost| async move {
        let (acked, _acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &main_spec, acked).await;
        journal.append([frame(1)]);
        journal.close();
        writer.await.expect("nothing failed");
        Seen::scan(&host, &main_spec).await.frames()
    };
    assert_eq!(run(MemMachine::new(world.clone(), 1), main).expect("it ends"), [frame(1)]);
    assert!(world.files().iter().all(|(_, bytes)| *bytes == spec.file_bytes));
}
