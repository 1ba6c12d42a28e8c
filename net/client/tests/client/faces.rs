//! Both faces over loopback: the same promises through real sockets, threads and a runtime.

mod blocking;
mod tokio_face;

use crate::server::Server;
use flumen_client::Settings;
use std::time::Duration;

/// Waits short enough for a test that kills its node.
pub(crate) fn settings() -> Settings {
    Settings {
        backoff_min: Duration::from_millis(2),
        backoff_max: Duration::from_millis(20),
        seed: 7,
        ..Settings::default()
    }
}

/// The records of a topic are `0..count` by partition, each once, in order.
pub(crate) fn assert_all_once(server: &Server, partitions: usize, count: usize) {
    let node = server.node();
    let mut all = Vec::new();
    for partition in 0..partitions {
        let values: Vec<usize> =
            node.values("t", partition).iter().map(|(_, value)| value.parse().unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a < b), "partition {partition}: {values:?}");
        all.extend(values);
    }
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>());
}

/// Kills the node again and again while a test runs. Stops when dropped.
pub(crate) struct Killer {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Killer {
    pub(crate) fn start(server: &Server) -> Killer {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (server, stopping) = (server.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopping.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(25));
                server.kill();
                std::thread::sleep(Duration::from_millis(10));
                server.revive();
            }
        });
        Killer { stop, thread: Some(thread) }
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}
