//! `flumen start`: runs a node, tells systemd and the terminal, watches the cores. It must never decide anything
//! about records.

use crate::config::{Config, Loaded};
use crate::exit::Exit;
use crate::{machine, print};
use flumen_model::{Code, Error, Result};
use flumen_node::{Handle, NodeConfig, Observer};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// A core that stands still for so many looks ends the process.
const LOOKS_MAX: u32 = 10;
/// How often the cores are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a running node says.
pub(crate) enum Word {
    /// It serves.
    Ready(SocketAddr),
    /// It cannot go on.
    Failed(Error),
}

/// A node that runs on threads of its own.
pub(crate) struct Running {
    handle: Arc<Handle>,
    words: Receiver<Word>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

struct Speaker {
    words: SyncSender<Word>,
    bar: OnceLock<indicatif::ProgressBar>,
    failed: AtomicBool,
}

impl Observer for Speaker {
    fn formatting(&self, done: u64, total: u64) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let style =
                indicatif::ProgressStyle::with_template("formatting {wide_bar} {bytes}/{total_bytes} {eta}")
                    .expect("the template is a constant");
            indicatif::ProgressBar::new(total).with_style(style)
        });
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }

    fn ready(&self, native: SocketAddr) {
        let _ = self.words.send(Word::Ready(native));
    }

    fn failed(&self, error: Error) {
        // The first failure is the cause; what follows from it would only hide it.
        if !self.failed.swap(true, Ordering::AcqRel) {
            tracing::error!(code = error.code as u16, %error, "the node cannot go on");
            let _ = self.words.send(Word::Failed(error));
        }
    }
}

/// Starts a node on threads of its own.
pub(crate) fn launch(config: &Config) -> Result<Running> {
    machine::check()?;
    let mut cpus = machine::cpus(config)?;
    let shards = config.shards.unwrap_or(u16::try_from(cpus.len()).unwrap_or(u16::MAX));
    // A core without a shard would only spin.
    cpus.truncate(usize::from(shards).max(1));
    if !config.require_existing {
        std::fs::create_dir_all(&config.data).map_err(|error| {
            Error::new(Code::InvalidRequest, format!("cannot create {}: {error}", config.data.display()))
        })?;
    }
    let (durable, warning) = config.durable_write();
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    let machine = machine::of_node(config, &cpus, durable);
    let node = NodeConfig {
        data: config.data.clone(),
        require_existing: config.require_existing,
        native: config.native,
        shards,
        limits: config.limits.clone(),
        topic_defaults: config.topic.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let cores = cpus.len();
    let handle = Arc::new(Handle::new(cores));
    let (say, words) = sync_channel(16);
    let observer = Arc::new(Speaker { words: say, bar: OnceLock::new(), failed: AtomicBool::new(false) });
    let of_node = handle.clone();
    tracing::info!(host = machine::HOST_NAME, ?cpus, shards, ?durable, "starting");
    let thread = std::thread::Builder::new()
        .name("node".to_owned())
        .spawn(move || {
            let ended = flumen_node::run(machine, cores, node, observer.clone(), of_node);
            if let Err(error) = &ended {
                observer.failed(machine_failed(error));
            }
            ended
        })
        .map_err(|error| Error::new(Code::LimitReached, format!("no thread for the node: {error}")))?;
    Ok(Running { handle, words, thread })
}

impl Running {
    /// Waits until the node serves.
    pub(crate) fn ready(&self) -> Result<SocketAddr> {
        match self.words.recv() {
            Ok(Word::Ready(native)) => Ok(native),
            Ok(Word::Failed(error)) => Err(error),
            Err(_) => Err(Error::new(Code::Closed, "the node ended before it served")),
        }
    }

    /// Whether it goes on; what keeps it from that.
    pub(crate) fn check(&self) -> Result<()> {
        match self.words.try_recv() {
            Ok(Word::Failed(error)) => Err(error),
            _ if self.thread.is_finished() => Err(Error::new(Code::Closed, "the node has ended")),
            _ => Ok(()),
        }
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(self) -> Result<()> {
        self.handle.stop();
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(machine_failed(&error)),
            Err(_) => Err(Error::new(Code::LogFailed, "a core panicked")),
        }
    }

    /// Looks after the node until `stop` says so, or it fails, or a core stands still.
    pub(crate) fn watch(self, stop: &AtomicBool) -> Exit {
        let mut before = self.handle.heartbeats();
        let mut still = vec![0_u32; before.len()];
        loop {
            match self.words.recv_timeout(LOOK_EVERY) {
                // A node that failed may have tasks that never end: its log is poisoned, so leave at once.
                Ok(Word::Failed(error)) => return Exit::of(&error),
                Ok(Word::Ready(_)) => {}
                Err(_) if stop.load(Ordering::Acquire) => break,
                Err(_) if self.thread.is_finished() => break,
                Err(_) => {}
            }
            let now = self.handle.heartbeats();
            for (core, (beat, last)) in now.iter().zip(&before).enumerate() {
                still[core] = if beat == last { still[core] + 1 } else { 0 };
                if still[core] >= LOOKS_MAX {
                    tracing::error!(
                        core,
                        "a core stands still: the process ends so that it can be started again"
                    );
                    std::process::abort();
                }
            }
            if still.iter().all(|still| *still == 0) {
                notify(&[sd_notify::NotifyState::Watchdog]);
            }
            before = now;
        }
        notify(&[sd_notify::NotifyState::Stopping]);
        match self.stop() {
            Ok(()) => Exit::Ok,
            Err(error) => {
                tracing::error!(%error, "the node did not end cleanly");
                Exit::of(&error)
            }
        }
    }
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    // Without systemd nobody listens, and that is no error.
    let _ = sd_notify::notify(state);
}

fn machine_failed(error: &std::io::Error) -> Error {
    Error::new(Code::LogFailed, format!("the machine failed: {error}"))
}

/// SIGTERM and SIGINT ask for an end; a second one ends at once.
pub(crate) fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let armed = signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone());
        armed
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Error::new(Code::Unsupported, format!("signals cannot be handled: {error}")))?;
    }
    Ok(stop)
}

/// `flumen start`
pub(crate) fn start(loaded: &Loaded) -> Exit {
    let started = stop_on_signals().and_then(|stop| {
        let running = launch(&loaded.config)?;
        let native = running.ready()?;
        Ok((stop, running, native))
    });
    let (stop, running, native) = match started {
        Ok(started) => started,
        Err(error) => {
            print::complain(&error.message);
            // What the configuration asks for may show only on the machine.
            return if error.code == Code::InvalidSetting { Exit::Config } else { Exit::of(&error) };
        }
    };
    {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "ready native={native} data={}", loaded.config.data.display());
        let _ = out.flush();
    }
    notify(&[sd_notify::NotifyState::Ready]);
    running.watch(&stop)
}
