//! The soak: cross-core messages, TCP round trips and durable writes while busy threads fight for the CPUs. The
//! way glommio is set up must never lose a wake-up; when it does, a core stands still and this test fails.
//! About 15 seconds; `FLUMEN_SOAK_SECONDS` sets another time. Runs with the memlock limit at 8 MiB, which binds
//! where the test is not run as root.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test, helpers included"
)]

use bytes::{Bytes, BytesMut};
use flumen_io::glommio_host::{
    DsyncMethod, GlommioConfig, GlommioHost, GlommioMachine, GlommioSender, SPIN_DEDICATED, cpus_allowed,
};
use flumen_io::local::join2;
use flumen_io::{Access, Buf, Durability, File, Host, Listener, Machine, Read, Receiver, Sender, Stream};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const BLOCK: usize = flumen_model::limits::BLOCK_BYTES;
const MEMLOCK_BYTES: u64 = 8 * 1024 * 1024;
/// Nothing takes this long, however crowded the CPUs are.
const STANDSTILL: Duration = Duration::from_secs(10);
const MESSAGE_BYTES: usize = 256;

type Main = Box<dyn FnOnce(GlommioHost) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// What moved on, by kind; and when to stop.
#[derive(Default)]
struct Progress {
    messages: AtomicU64,
    echoes: AtomicU64,
    writes: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    fn counts(&self) -> [u64; 3] {
        [&self.messages, &self.echoes, &self.writes].map(|count| count.load(Ordering::Relaxed))
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn limit_memlock() {
    let limit = libc::rlimit { rlim_cur: MEMLOCK_BYTES, rlim_max: MEMLOCK_BYTES };
    // SAFETY: the pointer is valid for the call, which only reads from it. Lowering a limit is always allowed.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
    assert_eq!(failed, 0, "the memlock limit can be lowered to {MEMLOCK_BYTES}");
}

async fn echo(stream: impl Stream) {
    let mut buf = BytesMut::new();
    loop {
        buf.reserve(4096);
        let (read, mut back) = stream.read(buf).await;
        if !matches!(read, Ok(Read::Bytes(_))) || stream.write(vec![back.split().freeze()]).await.0.is_err() {
            return;
        }
        buf = back;
    }
}

async fn round_trips(stream: impl Stream, progress: Arc<Progress>) {
    let message = Bytes::from_static(&[7; MESSAGE_BYTES]);
    let mut slices = Vec::new();
    let mut buf = BytesMut::new();
    while !progress.stopped() {
        slices.push(message.clone());
        let (sent, back) = stream.write(slices).await;
        sent.unwrap();
        slices = back;
        buf.clear();
        while buf.len() < MESSAGE_BYTES {
            buf.reserve(4096);
            let (read, back) = stream.read(buf).await;
            buf = back;
            assert!(matches!(read, Ok(Read::Bytes(_))));
        }
        count(&progress.echoes);
    }
}

async fn durable_writes(host: GlommioHost, dir: PathBuf, progress: Arc<Progress>) {
    let file = host.open(&dir.join(format!("core-{}", host.core().0)), Access::DURABLE).await.unwrap();
    let mut buf = host.buf(BLOCK);
    buf.bytes_mut().fill(1);
    let mut position = 0;
    while !progress.stopped() {
        let (written, back) = file.write_at(buf, position % 256 * BLOCK as u64, Durability::Durable).await;
        written.unwrap();
        buf = back;
        position += 1;
        count(&progress.writes);
    }
}

/// Answers the other core, and sends it the address to connect to.
async fn serve(host: &GlommioHost, address_tx: GlommioSender<SocketAddr>, progress: &Progress) {
    let listener = host.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    assert!(address_tx.send(listener.local_addr()).await.is_ok());
    for _ in 0..2 {
        let stream = listener.accept().await.unwrap();
        drop(host.spawn(echo(stream)));
    }
    while !progress.stopped() {
        host.sleep(Duration::from_millis(5)).await;
    }
}

fn mains(machine: &mut GlommioMachine, dir: PathBuf, progress: &Arc<Progress>) -> Vec<Main> {
    let (there_tx, there_rx) = machine.channel::<u64>(256);
    let (back_tx, back_rx) = machine.channel::<u64>(256);
    let (address_tx, address_rx) = machine.channel::<SocketAddr>(256);
    let (near, far) = (Arc::clone(progress), Arc::clone(progress));
    let near_dir = dir.clone();
    let asking: Main = Box::new(move |host| {
        Box::pin(async move {
            let (tx, rx) = join2(host.sender(there_tx), host.receiver(back_rx)).await;
            let address = host.receiver(address_rx).await.recv().await.unwrap();
            let writes = host.spawn(durable_writes(host.clone(), near_dir, Arc::clone(&near)));
            let first = host.connect(address).await.unwrap();
            let second = host.connect(address).await.unwrap();
            let first = host.spawn(round_trips(first, Arc::clone(&near)));
            let second = host.spawn(round_trips(second, Arc::clone(&near)));
            while !near.stopped() {
                tx.send(1).await.unwrap();
                assert_eq!(rx.recv().await, Some(2));
                count(&near.messages);
            }
            drop(tx);
            join2(writes, join2(first, second)).await;
        })
    });
    let answering: Main = Box::new(move |host| {
        Box::pin(async move {
            let (rx, tx) = join2(host.receiver(there_rx), host.sender(back_tx)).await;
            let address_tx = host.sender(address_tx).await;
            let writes = host.spawn(durable_writes(host.clone(), dir, Arc::clone(&far)));
            let messages = host.spawn(async move {
                while let Some(n) = rx.recv().await {
                    tx.send(n + 1).await.unwrap();
                }
            });
            serve(&host, address_tx, &far).await;
            join2(messages, writes).await;
        })
    });
    vec![asking, answering]
}

/// Fails when one kind of work stands still.
fn watch(progress: &Progress, time: Duration) {
    let (start, mut last, mut moved) = (Instant::now(), [0; 3], [Instant::now(); 3]);
    while start.elapsed() < time {
        std::thread::sleep(Duration::from_millis(100));
        let now = progress.counts();
        for kind in 0..3 {
            if now[kind] != last[kind] {
                moved[kind] = Instant::now();
            }
            if moved[kind].elapsed() > STANDSTILL {
                eprintln!("stands still: messages, echoes, writes so far {now:?}, still {kind}");
                // The cores hang; nothing but the end of the process ends this test.
                std::process::abort();
            }
        }
        last = now;
    }
}

#[test]
fn no_wake_up_is_lost_under_load() {
    limit_memlock();
    let seconds = std::env::var("FLUMEN_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    for spin in [SPIN_DEDICATED, Duration::ZERO] {
        let dir = tempfile::tempdir().unwrap();
        let mut cpus = cpus_allowed().unwrap();
        cpus.push(cpus[0]);
        let probe_dir = dir.path().to_owned();
        let config = GlommioConfig { cpus: cpus.clone(), spin, dsync: DsyncMethod::ODsync, probe_dir };
        let mut machine = GlommioMachine::new(config);
        let progress = Arc::new(Progress::default());
        let mains = mains(&mut machine, dir.path().to_owned(), &progress);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !progress.stopped() {
                        std::hint::spin_loop();
                    }
                });
            }
            let run = scope.spawn(move || machine.run(mains));
            watch(&progress, Duration::from_secs(seconds) / 2);
            progress.stop.store(true, Ordering::Relaxed);
            run.join().unwrap().unwrap();
        });
        println!("spin {spin:?}: messages, echoes, writes: {:?}", progress.counts());
        assert!(progress.counts().iter().all(|count| *count > 100), "{:?}", progress.counts());
    }
}
