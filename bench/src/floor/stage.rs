//! The stage of a run: which CPU serves and which one asks, the scratch files, what is counted. Every part plays on
//! the same stage, so that no part is pinned otherwise than another; nothing here may differ between parts.

use super::scratch::ScratchDir;
use crate::fault::failed;
use crate::measure::{Account, Sample, Watch};
use crate::sys;
use flumen_model::error::{Code, Error, Result};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

/// Bytes of the files that the floors go round in: whole MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSizes {
    /// Behind small durable writes.
    pub small: u64,
    /// Behind sequential writes and reads.
    pub large: u64,
}

impl FileSizes {
    /// For figures: more than a disk's own cache of mappings holds.
    pub const FULL: FileSizes = FileSizes { small: 64 << 20, large: 256 << 20 };
    /// For tests of the parts themselves.
    pub const TINY: FileSizes = FileSizes { small: 1 << 20, large: 8 << 20 };
}

/// Which CPUs the two sides run on. Left to the scheduler both may share one, and a round trip takes a third.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// The server's CPU.
    pub server: usize,
    /// The client's CPU.
    pub client: usize,
}

/// Where all parts of a run play.
pub struct Stage {
    /// The CPUs.
    pub pins: Pins,
    /// What is counted beside the times.
    pub watch: Watch,
    /// How large the files are.
    pub sizes: FileSizes,
    small: PathBuf,
    large: PathBuf,
    // Last, so that it is removed after everything else.
    scratch: ScratchDir,
}

impl Pins {
    /// The first two CPUs of `wanted`, or of those this process may use. With one CPU both sides share it.
    pub fn choose(wanted: &[usize]) -> Result<Pins> {
        let allowed = sys::allowed_cpus().map_err(|e| failed("cannot ask which CPUs are allowed", e))?;
        if let Some(cpu) = wanted.iter().find(|cpu| !allowed.contains(cpu)) {
            let text = format!("CPU {cpu} is not allowed to this process; allowed are {allowed:?}");
            return Err(Error::new(Code::InvalidSetting, text));
        }
        let cpus = if wanted.is_empty() { &allowed } else { wanted };
        let server =
            *cpus.first().ok_or_else(|| Error::new(Code::InvalidSetting, "there is no CPU to run on"))?;
        Ok(Pins { server, client: cpus.get(1).copied().unwrap_or(server) })
    }
}

impl Stage {
    /// Builds the stage in a directory of its own under `dir`.
    pub fn build(dir: &Path, pins: Pins, device: Option<String>, sizes: FileSizes) -> Result<Stage> {
        let scratch = ScratchDir::create(dir)?;
        let small = scratch.written("small", sizes.small)?;
        let large = scratch.written("large", sizes.large)?;
        let watch = Watch { device };
        Ok(Stage { pins, watch, sizes, small, large, scratch })
    }

    /// A written file for small durable writes.
    pub fn small(&self) -> &Path {
        &self.small
    }

    /// A written file for sequential writes and reads.
    pub fn large(&self) -> &Path {
        &self.large
    }

    /// The run's own directory.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs `work` and adds what it cost to its sample: this process and `pids`.
    pub fn counted(&self, pids: &[u32], work: impl FnOnce() -> Result<Sample>) -> Result<Sample> {
        let reading = self.watch.start(pids);
        let mut sample = work()?;
        let account: Account = reading.end();
        sample.account = account;
        Ok(sample)
    }
}

/// How long a part of `length` runs before anything is counted.
pub(crate) fn warm_up(length: Duration) -> Duration {
    (length / 10).min(Duration::from_millis(200))
}

/// A thread on one CPU, with fine timers. `what` names it in its errors.
pub(crate) fn on_cpu<'s, 'e, T: Send + 's>(
    scope: &'s Scope<'s, 'e>,
    cpu: usize,
    work: impl FnOnce() -> Result<T> + Send + 's,
) -> ScopedJoinHandle<'s, Result<T>> {
    scope.spawn(move || {
        sys::pin(0, &[cpu]).map_err(|e| failed(format!("cannot pin a thread to CPU {cpu}"), e))?;
        sys::fine_timers().map_err(|e| failed("cannot set a thread's timer slack", e))?;
        work()
    })
}

/// The two ends of a loopback connection with Nagle's algorithm off: the server's and the client's. An end that is
/// dropped ends the other one too, so no side can wait for ever.
pub(crate) fn loopback_pair() -> Result<(TcpStream, TcpStream)> {
    let pair = || {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok((server, client))
    };
    pair().map_err(|e| failed("cannot open a loopback connection", e))
}

/// Runs a server and a client, each on its CPU, and returns what both brought. The error of the side that failed
/// first in the chain is told: a client whose server failed only sees a closed connection.
pub(crate) fn both<S: Send, C: Send>(
    pins: Pins,
    server: impl FnOnce() -> Result<S> + Send,
    client: impl FnOnce() -> Result<C> + Send,
) -> Result<(S, C)> {
    std::thread::scope(|scope| {
        let server = on_cpu(scope, pins.server, server);
        let client = on_cpu(scope, pins.client, client);
        let client = client.join().expect("a panic of the client ends the run");
        let server = server.join().expect("a panic of the server ends the run");
        Ok((server?, client?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_is_not_allowed_is_refused_with_the_ones_that_are() {
        let refused = Pins::choose(&[4_000]).unwrap_err();
        assert_eq!(refused.code, Code::InvalidSetting);
        assert!(refused.message.contains("4000") && refused.message.contains("allowed are"), "{refused}");
    }

    #[test]
    fn two_sides_get_two_cpus_where_there_are_two() {
        let allowed = sys::allowed_cpus().unwrap();
        let pins = Pins::choose(&[]).unwrap();
        assert_eq!(pins.server, allowed[0]);
        assert_eq!(pins.client != pins.server, allowed.len() > 1);
    }

    #[test]
    fn the_servers_error_is_told_before_the_clients() {
        let pins = Pins::choose(&[]).unwrap();
        let fail = |what: &'static str| move || Err::<(), _>(Error::new(Code::Closed, what));
        assert_eq!(both(pins, fail("server"), fail("client")).unwrap_err().message, "server");
    }
}
