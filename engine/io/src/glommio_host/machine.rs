//! The real machine on glommio: one executor per core, made in this one place. Its settings are what keeps
//! glommio 0.9 from losing wake-ups: it takes "preempted before anything ran" for "idle" and parks with work to
//! do. So the preempt timer is out of reach and no task queue ever asks for latency; cooperation is ours.

use super::channel::{GlommioRxHalf, GlommioTxHalf, channel};
use super::host::GlommioHost;
use super::memory;
use super::{preflight, probe};
use crate::seam::{Core, Machine};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Once};
use std::time::Duration;

/// Out of reach: glommio must never preempt.
const PREEMPT_TIMER: Duration = Duration::from_secs(3600);
/// More spinning than this keeps the kernel worker that finishes our durable writes off the CPU.
const SPIN_MAX: Duration = Duration::from_micros(100);
/// What a dedicated core should spin before it sleeps: a message or packet within it costs no wake-up.
pub const SPIN_DEDICATED: Duration = Duration::from_micros(50);
/// Registered buffer memory of one executor. glommio pins three times as much.
const IO_MEMORY_BYTES_MAX: usize = 1024 * 1024;
const IO_MEMORY_BYTES_MIN: usize = 64 * 1024;
/// How often glommio pins its buffer memory: once per ring.
const PINS_PER_EXECUTOR: usize = 3;

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsyncMethod {
    /// One operation on a descriptor opened with `O_DSYNC`. Best on dedicated cores.
    ODsync,
    /// A write, then `fdatasync`: two operations, whose end does not need a worker on our CPU. Better where
    /// others crowd the CPUs.
    WriteFlush,
}

/// How the machine runs.
#[derive(Clone, Debug)]
pub struct GlommioConfig {
    /// The CPU of each core, in order; out of [`cpus_allowed`].
    pub cpus: Vec<usize>,
    /// How long a core spins before it sleeps: [`SPIN_DEDICATED`] where nobody else uses its CPU, zero
    /// elsewhere; at most 100 µs.
    pub spin: Duration,
    /// How a write is made durable.
    pub dsync: DsyncMethod,
    /// A writable directory on the filesystem of the data; each core writes a small file there and removes it.
    pub probe_dir: PathBuf,
}

/// The real machine.
#[derive(Debug)]
pub struct GlommioMachine {
    config: GlommioConfig,
}

impl GlommioMachine {
    /// A machine of at most `config.cpus.len()` cores.
    pub fn new(config: GlommioConfig) -> GlommioMachine {
        GlommioMachine { config }
    }
}

/// The CPUs that this process may run on, in order.
pub fn cpus_allowed() -> io::Result<Vec<usize>> {
    // SAFETY: all zeros is a valid, empty CPU set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer and the size are those of `set`, which outlives the call.
    let failed = unsafe { libc::sched_getaffinity(0, std::mem::size_of_val(&set), &mut set) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: only numbers below the size of the set are asked for.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

impl Machine for GlommioMachine {
    type Host = GlommioHost;

    fn channel<T: Send + 'static>(&mut self, capacity: usize) -> (GlommioTxHalf<T>, GlommioRxHalf<T>) {
        channel(capacity)
    }

    fn run<M, F>(self, mains: Vec<M>) -> io::Result<()>
    where
        M: FnOnce(GlommioHost) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.config.check(mains.len())?;
        preflight::preflight().map_err(io::Error::other)?;
        end_process_on_core_panic();
        memory::keep_freed();
        let gate = Arc::new(Gate { all: Barrier::new(mains.len()), failed: AtomicBool::new(false) });
        let io_memory = io_memory_bytes(mains.len());
        let mut cores = Vec::with_capacity(mains.len());
        for (core, main) in mains.into_iter().enumerate() {
            let (config, gate) = (self.config.clone(), Arc::clone(&gate));
            let run = move || run_core(Core(core), &config, io_memory, &gate, main);
            cores.push(std::thread::Builder::new().name(format!("core-{core}")).spawn(run)?);
        }
        let mut end = Ok(());
        for core in cores {
            let own = core.join().unwrap_or_else(|_| Err(io::Error::other("a core panicked")));
            end = end.and(own);
        }
        end
    }
}

impl GlommioConfig {
    fn check(&self, cores: usize) -> io::Result<()> {
        let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        if cores == 0 || cores > self.cpus.len() {
            return invalid(format!(
                "{cores} cores do not fit on the {} CPUs of the configuration",
                self.cpus.len()
            ));
        }
        let allowed = cpus_allowed()?;
        if let Some(cpu) = self.cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return invalid(format!("CPU {cpu} is not among those that this process may use: {allowed:?}"));
        }
        if self.spin > SPIN_MAX {
            return invalid(format!("a core may spin for {SPIN_MAX:?} at most, not {:?}", self.spin));
        }
        Ok(())
    }
}

/// What the memlock limit allows for each executor's registered buffers, with a quarter left over.
fn io_memory_bytes(cores: usize) -> usize {
    let limit = preflight::memlock_bytes().unwrap_or(0) / 4 * 3;
    let each = usize::try_from(limit).unwrap_or(usize::MAX) / (PINS_PER_EXECUTOR * cores);
    (each.clamp(IO_MEMORY_BYTES_MIN, IO_MEMORY_BYTES_MAX) / IO_MEMORY_BYTES_MIN) * IO_MEMORY_BYTES_MIN
}

/// No main starts before every core is sound: one that never came up would be waited for by the others.
struct Gate {
    all: Barrier,
    failed: AtomicBool,
}

fn run_core<M, F>(
    core: Core,
    config: &GlommioConfig,
    io_memory: usize,
    gate: &Gate,
    main: M,
) -> io::Result<()>
where
    M: FnOnce(GlommioHost) -> F,
    F: Future<Output = ()> + 'static,
{
    ON_CORE.set(true);
    let sound = make_executor(core, config, io_memory).and_then(|executor| {
        executor.run(probe::probe(config.probe_dir.clone(), core))?;
        Ok(executor)
    });
    if sound.is_err() {
        gate.failed.store(true, Ordering::SeqCst);
    }
    gate.all.wait();
    let executor = sound?;
    if gate.failed.load(Ordering::SeqCst) {
        // The core that failed says why.
        return Ok(());
    }
    executor.run(async {
        let host = GlommioHost::new(core, config);
        main(host.clone()).await;
        host.drain().await;
    });
    Ok(())
}

fn make_executor(core: Core, config: &GlommioConfig, io_memory: usize) -> io::Result<LocalExecutor> {
    let cpu = config.cpus[core.0];
    let builder = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(&format!("core-{}", core.0))
        .spin_before_park(config.spin)
        .io_memory(io_memory)
        .preempt_timer(PREEMPT_TIMER);
    builder.make().map_err(|e| io::Error::other(format!("core {} on CPU {cpu} did not start: {e}", core.0)))
}

thread_local! {
    static ON_CORE: Cell<bool> = const { Cell::new(false) };
}

/// A core that panicked may have left anything half-done: the process ends, after the panic was reported.
fn end_process_on_core_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            if ON_CORE.get() {
                std::process::abort();
            }
        }));
    });
}
