//! What a golden directory is put on and a node is run on: the simulated machine, or the real one with a folder of the
//! test's own. Whatever is done there ends before the next thing begins.

use super::common::{MemHost, Seen};
use flumen_io::glommio_host::{DsyncMethod, GlommioConfig, GlommioMachine, cpus_allowed, preflight};
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_io::{Host, Machine};
use flumen_model::limits::Limits;
use flumen_model::topic::TopicSettings;
use flumen_node::{Handle, Main, NodeConfig, mains};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Cores of a node that runs here; one more is the client's.
const CORES: usize = 1;

/// Where a directory lies and what runs on it.
pub trait Ground {
    type Machine: Machine<Host = Self::Host>;
    type Host: Host;

    /// A machine for one run.
    fn machine(&self) -> Self::Machine;
    /// The data directory.
    fn data(&self) -> &Path;
    /// Where a node listens.
    fn native(&self) -> SocketAddr;
}

/// The simulated machine.
pub struct Simulated(pub MemWorld);

impl Ground for Simulated {
    type Machine = MemMachine;
    type Host = MemHost;

    fn machine(&self) -> MemMachine {
        MemMachine::new(self.0.clone(), 5)
    }

    fn data(&self) -> &Path {
        Path::new(super::DATA)
    }

    fn native(&self) -> SocketAddr {
        super::common::NATIVE.parse().unwrap()
    }
}

/// The real machine and a folder that goes with this value.
pub struct Real {
    data: PathBuf,
    folder: tempfile::TempDir,
}

impl Real {
    /// `None` where the kernel offers no ring, or forbids it.
    pub fn new() -> Option<Real> {
        if let Err(why) = preflight() {
            eprintln!("skipped, this machine runs no node: {why}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        Some(Real { data: folder.path().join("data"), folder })
    }
}

impl Ground for Real {
    type Machine = GlommioMachine;
    type Host = flumen_io::glommio_host::GlommioHost;

    fn machine(&self) -> GlommioMachine {
        let cpu = cpus_allowed().unwrap()[0];
        GlommioMachine::new(GlommioConfig {
            cpus: vec![cpu; CORES + 1],
            spin: Duration::ZERO,
            dsync: DsyncMethod::ODsync,
            probe_dir: self.folder.path().to_path_buf(),
        })
    }

    fn data(&self) -> &Path {
        &self.data
    }

    fn native(&self) -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }
}

/// Runs one core and returns what its main returned.
pub fn run<G: Ground, T: Send + 'static, F: Future<Output = T> + 'static>(
    ground: &G,
    main: impl FnOnce(G::Host) -> F + Send + 'static,
) -> T {
    let told: Arc<Mutex<Option<T>>> = Arc::default();
    let tell = told.clone();
    let main = move |host| async move {
        let value = main(host).await;
        *tell.lock().unwrap() = Some(value);
    };
    ground.machine().run(vec![main]).expect("the machine runs to its end");
    told.lock().unwrap().take().expect("the main returned")
}

/// Runs a node on the ground's directory, which must be there, with a client beside it; the node is stopped cleanly
/// when the client returns.
pub fn serve<G: Ground, T: Send + 'static, F: Future<Output = T> + 'static>(
    ground: &G,
    client: impl FnOnce(G::Host, SocketAddr) -> F + Send + 'static,
) -> T {
    let config = NodeConfig {
        data: ground.data().to_path_buf(),
        require_existing: true,
        native: ground.native(),
        shards: 1,
        limits: Limits::simulation(),
        topic_defaults: TopicSettings::default(),
        version: "golden",
    };
    let mut machine = ground.machine();
    let (seen, handle) = (Arc::new(Seen::default()), Arc::new(Handle::new(CORES)));
    let told: Arc<Mutex<Option<T>>> = Arc::default();
    let (eyes, stop, tell) = (seen.clone(), handle.clone(), told.clone());
    let mut all: Vec<Main<G::Host>> = mains(&mut machine, CORES, config, seen.clone(), handle);
    all.push(Box::new(move |host: G::Host| {
        Box::pin(async move {
            let native = ready(&host, &eyes.ready, &eyes).await;
            let value = client(host, native).await;
            *tell.lock().unwrap() = Some(value);
            stop.stop();
        })
    }));
    machine.run(all).expect("the machine runs to its end");
    assert_eq!(seen.failed.get(), None, "the node failed");
    told.lock().unwrap().take().expect("the client returned")
}

async fn ready<H: Host>(host: &H, ready: &OnceLock<SocketAddr>, seen: &Seen) -> SocketAddr {
    loop {
        assert_eq!(seen.failed.get(), None, "the node does not start");
        match ready.get() {
            Some(native) => return *native,
            None => host.sleep(Duration::from_millis(1)).await,
        }
    }
}
