//! The writer: what gathers goes together, idle time is marked, a failed write ends everything.

use super::*;
use flumen_io::mem::DiskOp;
use flumen_model::{Code, Error};
use std::cell::RefCell;

thread_local! {
    /// The world of the running test, for mains, which run on this thread.
    static WORLD: RefCell<Option<MemWorld>> = const { RefCell::new(None) };
}

fn fail_next(op: DiskOp, pattern: &str) {
    WORLD.with_borrow(|world| world.as_ref().expect("set").fail_next(op, pattern));
}

/// Runs a main with an open journal in a fresh world.
fn with_journal<T: Send + 'static, F: Future<Output = T> + 'static>(
    main: impl FnOnce(MemHost, Rc<Journal<MemHost>>, mpsc::Receiver<Durable>, Writer) -> F + Send + 'static,
) -> (T, MemWorld) {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    WORLD.set(Some(world.clone()));
    let main = move |host: MemHost| async move {
        let (acked, acks) = mpsc::channel();
        let (journal, writer) = opened(&host, &spec, acked).await;
        main(host, journal, acks, writer).await
    };
    (run(MemMachine::new(world.clone(), 2), main).expect("it ends"), world)
}

#[test]
fn appends_gather_while_a_write_is_in_flight_and_go_together() {
    let ((acks, stats), _) = with_journal(|host, journal, acks, _writer| async move {
        journal.append([frame(1)]);
        host.sleep(Duration::from_micros(20)).await;
        for index in 2..=6 {
            journal.append([Frame { payload: Bytes::new(), ..frame(index) }]);
        }
        host.sleep(Duration::from_micros(600)).await;
        (acks.try_iter().collect::<Vec<_>>(), journal.stats())
    });
    assert_eq!(acks.iter().map(|ack| ack.up_to.seq).collect::<Vec<_>>(), [1, 6]);
    assert_eq!(acks[0].lsn_end, acks[1].lsn_start);
    assert_eq!((stats.writes, stats.appends, stats.frames, stats.marks, stats.files), (2, 6, 6, 0, 1));
    assert_eq!((stats.bytes, stats.sizes[0]), (8192, 2));
}

#[test]
fn a_write_is_no_larger_than_its_limit() {
    let (acks, _) = with_journal(|host, journal, acks, _writer| async move {
        for index in 1..=8 {
            journal.append([Frame { payload: vec![0; 3000].into(), ..frame(index) }]);
        }
        host.sleep(Duration::from_millis(5)).await;
        acks.try_iter().collect::<Vec<_>>()
    });
    assert_eq!(acks.iter().map(|ack| ack.lsn_end.0 - ack.lsn_start.0).collect::<Vec<_>>(), [8192; 4]);
}

#[test]
fn an_idle_journal_writes_one_mark_and_then_nothing() {
    let ((early, idle, later), _) = with_journal(|host, journal, _acks, _writer| async move {
        journal.append([frame(1)]);
        host.sleep(Duration::from_micros(700)).await;
        let early = journal.stats().marks;
        host.sleep(Duration::from_millis(2)).await;
        let idle = journal.stats().marks;
        host.sleep(Duration::from_millis(50)).await;
        (early, idle, journal.stats())
    });
    assert_eq!((early, idle, later.marks, later.writes), (0, 1, 1, 2));
}

#[test]
fn lazy_appends_ride_with_the_next_append_or_with_the_mark() {
    let ((ridden, marked), _) = with_journal(|host, journal, acks, _writer| async move {
        let lazy = journal.append_lazy([frame(1)]);
        host.sleep(Duration::from_micros(300)).await;
        assert_eq!(acks.try_iter().count(), 0, "not written for its own sake");
        let urgent = journal.append([frame(2)]);
        assert!(urgent > lazy);
        host.sleep(Duration::from_micros(400)).await;
        let ridden = acks.try_iter().map(|ack| ack.up_to.seq).collect::<Vec<_>>();
        host.sleep(Duration::from_millis(4)).await;
        journal.append_lazy([frame(3)]);
        host.sleep(Duration::from_millis(3)).await;
        (ridden, acks.try_iter().map(|ack| ack.up_to.seq).collect::<Vec<_>>())
    });
    assert_eq!((ridden, marked), (vec![2], vec![3]));
}

#[test]
fn closing_writes_what_is_queued_and_a_mark_and_then_stops() {
    let ((acks, stats, late), world) = with_journal(|host, journal, acks, writer| async move {
        journal.append([frame(1)]);
        journal.append_lazy([frame(2)]);
        journal.close();
        writer.await.expect("nothing failed");
        let late = journal.append([frame(3)]);
        host.sleep(Duration::from_millis(3)).await;
        (acks.try_iter().map(|ack| ack.up_to.seq).collect::<Vec<_>>(), journal.stats(), late)
    });
    assert_eq!((acks.last(), stats.marks, late.seq), (Some(&2), 1, 3));
    let (seen, _) = scanned(&small(), &images(&world, &small()));
    assert_eq!(seen.frames(), [frame(1), frame(2)]);
}

/// What a journal says after a failure.
async fn after(
    host: MemHost,
    journal: Rc<Journal<MemHost>>,
    acks: mpsc::Receiver<Durable>,
    writer: Writer,
) -> (usize, Error) {
    let before = acks.try_iter().count();
    journal.append([frame(2)]);
    let error = writer.await.expect_err("a write failed");
    assert_eq!(journal.failed(), Some(error.clone()));
    journal.append([frame(3)]);
    assert_eq!(journal.run_writer(|_| panic!("acked after a failure")).await, Err(error.clone()), "no retry");
    host.sleep(Duration::from_millis(5)).await;
    assert_eq!(acks.try_iter().count(), 0, "nothing is acked after a failure");
    (before, error)
}

#[test]
fn a_failed_write_ends_the_journal_and_nothing_more_is_acked() {
    let ((before, error), world) = with_journal(|host, journal, acks, writer| async move {
        journal.append([frame(1)]);
        host.sleep(Duration::from_millis(3)).await;
        fail_next(DiskOp::Write, "J0000");
        after(host, journal, acks, writer).await
    });
    assert_eq!((before, error.code), (1, Code::LogFailed));
    assert!(error.message.contains("J0000"), "{error}");
    let (seen, report) = scanned(&small(), &images(&world, &small()));
    assert_eq!((&seen.frames()[..1], report.damage), (&[frame(1)][..], vec![]));
}

#[test]
fn a_failed_file_header_ends_the_journal_too() {
    let ((before, error), _) = with_journal(|host, journal, acks, writer| async move {
        fail_next(DiskOp::Write, "J0001");
        for index in 10..30 {
            journal.append([Frame { payload: vec![0; 3000].into(), ..frame(index) }]);
        }
        host.sleep(Duration::from_millis(9)).await;
        after(host, journal, acks, writer).await
    });
    assert_eq!((before, error.code), (2, Code::LogFailed), "what went to the first file");
    assert!(error.message.contains("J0001"), "{error}");
}

#[test]
fn a_dropped_writer_ends_the_journal() {
    let (error, _) = with_journal(|host, journal, _acks, _writer| async move {
        let report = scan(&host, &small(), &mut Seen::default()).await.expect("readable");
        let other = Journal::open(&host, small(), &report).await.expect("a fresh file is begun");
        drop(journal);
        {
            let mut writer = std::pin::pin!(other.run_writer(|_| {}));
            let waker = std::task::Waker::noop();
            assert!(writer.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        }
        other.append([frame(1)]);
        other.run_writer(|_| panic!("acked")).await.expect_err("its fate is unknown")
    });
    assert_eq!(error.code, Code::LogFailed);
}

#[test]
fn a_scan_that_cannot_flush_a_file_is_refused() {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    world.fail_next(DiskOp::Sync, "J0002");
    let main = move |host: MemHost| async move { scan(&host, &spec, &mut Seen::default()).await };
    let error = run(MemMachine::new(world, 1), main).expect("it ends").expect_err("what is read may vanish");
    assert!(error.message.contains("J0002"), "{error}");
}

#[test]
fn formatting_refuses_a_used_journal_and_finishes_one_that_was_cut_off() {
    let (_, world) = with_journal(|_, journal, _, writer| async move {
        journal.append([frame(1)]);
        journal.close();
        writer.await
    });
    let spec = small();
    let format_again = |world: &MemWorld| {
        let spec = spec.clone();
        let main = |host: MemHost| async move { format(&host, &spec, |_, _| {}).await };
        run(MemMachine::new(world.clone(), 1), main).expect("it ends")
    };
    let error = format_again(&world).expect_err("it holds a journal");
    assert!(error.message.contains("J0000"), "{error}");
    let cut_off = MemWorld::new();
    let main_spec = spec.clone();
    let main = |host: MemHost| async move { format(&host, &main_spec, |_, _| {}).await };
    let machine = MemMachine::new(cut_off.clone(), 1).stop_after(Duration::from_micros(700));
    assert_eq!(run(machine, main), None);
    cut_off.crash(3);
    format_again(&cut_off).expect("it is made whole");
    assert_eq!(cut_off.files().len(), spec.files);
}
