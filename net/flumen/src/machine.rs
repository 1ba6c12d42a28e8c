//! The machine that nodes and tools run on. The only place that picks a host.

use crate::config::{Config, Cores};
use flumen_io::glommio_host::{DsyncMethod, GlommioConfig, GlommioMachine, cpus_allowed, preflight};
use flumen_model::{Code, Error, Result};
use flumen_tuning::DurableWrite;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The host's name, for people.
pub(crate) const HOST_NAME: &str = "glommio";

/// The host that was picked.
pub(crate) type Machine = GlommioMachine;

/// Why this machine cannot run a node, if so.
pub(crate) fn check() -> Result<()> {
    preflight().map(drop).map_err(|message| Error::new(Code::Unsupported, message))
}

/// The CPUs that `cores` of the configuration means.
pub(crate) fn cpus(config: &Config) -> Result<Vec<usize>> {
    let allowed = allowed()?;
    match &config.cores {
        Cores::Auto => Ok(allowed),
        Cores::List(list) => match list.iter().find(|cpu| !allowed.contains(cpu)) {
            None => Ok(list.clone()),
            Some(cpu) => Err(Error::new(
                Code::InvalidSetting,
                format!("CPU {cpu} of `cores` is not one that this process may use: {allowed:?}"),
            )),
        },
    }
}

fn allowed() -> Result<Vec<usize>> {
    cpus_allowed().map_err(|error| {
        Error::new(Code::Unsupported, format!("the CPUs of this process cannot be read: {error}"))
    })
}

/// A machine for a node, on these CPUs.
pub(crate) fn of_node(config: &Config, cpus: &[usize], durable: DurableWrite) -> Machine {
    GlommioMachine::new(GlommioConfig {
        cpus: cpus.to_vec(),
        spin: Duration::from_micros(config.spin_us),
        dsync: match durable {
            DurableWrite::Dsync => DsyncMethod::ODsync,
            DurableWrite::Flush => DsyncMethod::WriteFlush,
        },
        probe_dir: config.data.clone(),
    })
}

/// A machine of one core for a tool that works in a directory.
pub(crate) fn of_tool(directory: &Path) -> Result<Machine> {
    check()?;
    let cpu =
        *allowed()?.first().ok_or_else(|| Error::new(Code::Unsupported, "this process may use no CPU"))?;
    Ok(of_floor(cpu, directory.to_path_buf()))
}

/// A machine of one core that spins as a node's does, for measuring the host alone.
pub(crate) fn of_floor(cpu: usize, directory: PathBuf) -> Machine {
    GlommioMachine::new(GlommioConfig {
        cpus: vec![cpu],
        spin: Duration::from_micros(Config::default().spin_us),
        dsync: DsyncMethod::ODsync,
        probe_dir: directory,
    })
}
