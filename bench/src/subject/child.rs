//! Nodes that this program starts: a child process on a CPU of its own, waited for until it serves, killed with -9
//! in the end. The binary knows the command; nothing here knows its flags.

use super::native::NativeNode;
use super::{Load, Node, Nodes, Reader, Start};
use crate::drive::Target;
use crate::fault::failed;
use crate::measure::ServerCounters;
use crate::sys;
use flumen_model::error::{Code, Error, Result};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A node must serve within this time: recovery is bounded by seconds, formatting a journal may take some more.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries to connect: fine enough to time a restart.
const AGAIN: Duration = Duration::from_millis(2);
/// Bytes of a dead node's log that are told.
const LOG_TAIL_BYTES: usize = 2000;

type Make = dyn Fn(&Start, SocketAddr) -> Command + Send + Sync;

/// Starts nodes, or reaches those that run.
pub struct ChildNodes {
    command: Box<Make>,
}

impl ChildNodes {
    /// `command` makes the command that starts a node with its data in the start's directory, on its CPU, with the
    /// native protocol on the address.
    pub fn new(command: impl Fn(&Start, SocketAddr) -> Command + Send + Sync + 'static) -> ChildNodes {
        ChildNodes { command: Box::new(command) }
    }
}

impl Nodes for ChildNodes {
    fn open(&self, start: &Start) -> Result<Box<dyn Node>> {
        if let Some(address) = &start.server {
            return Ok(Box::new(NativeNode::connect(address)?));
        }
        let address = free_address()?;
        let mut child = Running::start((self.command)(start, address), start)?;
        let give_up = Instant::now() + PATIENCE;
        loop {
            match NativeNode::connect(&address.to_string()) {
                Ok(node) => {
                    return Ok(Box::new(ChildNode { pid: child.child.id(), child: Mutex::new(child), node }));
                }
                Err(error) if Instant::now() > give_up => return Err(error),
                Err(_) => child.must_live()?,
            }
            thread::sleep(AGAIN);
        }
    }
}

/// An address that nobody listens on now.
fn free_address() -> Result<SocketAddr> {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    free.map_err(|e| failed("cannot find a free port", e))
}

/// A child process that does not outlive its owner.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(mut command: Command, start: &Start) -> Result<Running> {
        let log = start.dir.with_extension("log");
        let at = |e| failed(format!("cannot start a node in {}", start.dir.display()), e);
        fs::create_dir_all(&start.dir).map_err(at)?;
        let file = File::create(&log).map_err(at)?;
        let errors = file.try_clone().map_err(at)?;
        sys::die_with_parent(&mut command);
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().map_err(at)?;
        let running = Running { child, log };
        // Threads that it starts later inherit this, those of its cores among them.
        sys::pin(running.child.id(), &[start.cpu]).map_err(at)?;
        Ok(running)
    }

    fn must_live(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let log = fs::read(&self.log).unwrap_or_default();
                let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]);
                Err(Error::new(
                    Code::Closed,
                    format!("the node ended with {status}; its log ends with:\n{tail}"),
                ))
            }
            Err(error) => Err(failed("cannot ask how the node does", error)),
        }
    }

    fn kill(&mut self) -> Result<()> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(|_| ()).map_err(|e| failed("cannot kill the node", e))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killed already, or nothing more can be done about it.
        let _ = self.kill();
    }
}

/// A node that this program started.
struct ChildNode {
    pid: u32,
    child: Mutex<Running>,
    node: NativeNode,
}

impl Node for ChildNode {
    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    fn durability(&self) -> String {
        self.node.durability()
    }

    fn producer(&self, load: &Load) -> Result<Box<dyn Target>> {
        self.node.producer(load)
    }

    fn reader(&self, topic: &str) -> Result<Box<dyn Reader>> {
        self.node.reader(topic)
    }

    fn counters(&self) -> Result<ServerCounters> {
        self.node.counters()
    }

    fn kill(&self) -> Result<()> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).kill()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ends_at_once_is_told_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = ChildNodes::new(|_, _| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo the directory is locked >&2; exit 3"]);
            command
        });
        let cpu = sys::allowed_cpus().unwrap()[0];
        let start = Start { server: None, dir: dir.path().join("node"), cpu };
        let error = nodes.open(&start).err().unwrap();
        assert_eq!(error.code, Code::Closed);
        assert!(error.message.contains("the directory is locked"), "{error}");
    }
}
