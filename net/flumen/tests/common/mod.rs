//! Nodes and verbs as real processes, for the tests of the binary: each on a directory and a port of its own. A test
//! ends only the processes that it started, by their id.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::disallowed_methods)]

pub mod chance;
pub mod small_disk;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// The binary under test.
pub const FLUMEN: &str = env!("CARGO_BIN_EXE_flumen");

/// The hosts that the binary can run on. What breaks processes is tried on each of them.
pub const HOSTS: [&str; 1] = ["glommio"];

/// Little of everything, so that a test's disk and memory hold many nodes.
const SMALL: [&str; 6] = [
    "journal_bytes=64MiB",
    "cache_bytes=8MiB",
    "segment_bytes=1MiB",
    "limits.disk_warn_bytes=64MiB",
    "limits.disk_refuse_bytes=32MiB",
    "limits.disk_reserve_bytes=16MiB",
];

/// A node in a process of its own. Killed when it is dropped.
pub struct Node {
    pub addr: SocketAddr,
    pub data: PathBuf,
    pub ready_line: String,
    child: Child,
    rest_of_stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// `flumen start` with small limits, on two shards.
pub fn start_command(data: &Path, native: &str) -> Command {
    start_command_with(data, native, 2, &[])
}

/// `flumen start` with small limits on so many shards, and with settings of its own: `key=value`.
pub fn start_command_with(data: &Path, native: &str, shards: u16, settings: &[&str]) -> Command {
    let mut command = Command::new(FLUMEN);
    command.args(["start", "--native", native, "--shards", &shards.to_string(), "--data"]).arg(data);
    // Of a key that is given twice the later value counts.
    for setting in SMALL.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Node {
    /// Starts a node on a free port.
    pub fn start(data: &Path) -> Node {
        Node::start_at(data, "127.0.0.1:0")
    }

    /// Starts a node and waits until it is ready.
    pub fn start_at(data: &Path, native: &str) -> Node {
        Node::try_start(data, native).unwrap_or_else(|said| panic!("the node did not start: {said}"))
    }

    /// Starts a node; what it said, when it ended instead.
    pub fn try_start(data: &Path, native: &str) -> Result<Node, String> {
        Node::try_run(start_command(data, native), data)
    }

    /// Starts a node with a few settings of its own, and waits until it is ready.
    pub fn start_with(data: &Path, shards: u16, settings: &[&str]) -> Node {
        let command = start_command_with(data, "127.0.0.1:0", shards, settings);
        Node::try_run(command, data).unwrap_or_else(|said| panic!("the node did not start: {said}"))
    }

    /// Starts a node where one was killed. Its port may be in somebody's hands for a moment.
    pub fn restart(start: impl Fn() -> Command, data: &Path) -> Node {
        let mut last = String::new();
        for _ in 0..100 {
            match Node::try_run(start(), data) {
                Ok(node) => return node,
                Err(said) if said.contains("cannot listen") => last = said,
                Err(said) => panic!("the node does not come back: {said}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the port stays taken: {last}");
    }

    /// Runs a `flumen start`; what it said, when it ended instead.
    pub fn try_run(mut command: Command, data: &Path) -> Result<Node, String> {
        let mut child = command.spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready_line = String::new();
        stdout.read_line(&mut ready_line).unwrap();
        let Some(addr) = ready_line.strip_prefix("ready native=").and_then(|rest| rest.split(' ').next())
        else {
            let status = child.wait().unwrap();
            return Err(format!("{status}: {ready_line}{}", stderr.join().unwrap()));
        };
        let addr = addr.parse().unwrap();
        let (stdout, stderr) = (Some(collect(stdout)), Some(stderr));
        Ok(Node { addr, data: data.to_path_buf(), ready_line, child, rest_of_stdout: stdout, stderr })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that the node has resident, in bytes (`VmRSS`, a multiple of 1 KiB).
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Descriptors that the node has open.
    pub fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// kill -9, and the end of the process.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; its status, and what it said on standard output behind the ready line and on standard error.
    pub fn terminate(mut self) -> (ExitStatus, String, String) {
        send_signal(self.pid(), "TERM");
        let status = self.child.wait().unwrap();
        let said = |half: &mut Option<JoinHandle<String>>| half.take().unwrap().join().unwrap();
        let (out, err) = (said(&mut self.rest_of_stdout), said(&mut self.stderr));
        (status, out, err)
    }

    /// A verb against this node.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FLUMEN);
        command.args(["--server", &self.addr.to_string()]).args(args).stdin(Stdio::null());
        command
    }

    /// Runs a verb.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a verb that must end with 0, and returns its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a verb with `--json` that must end with 0.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(&[&["--json"], args].concat())).unwrap()
    }

    /// Runs a verb with text on standard input.
    pub fn feed(&self, args: &[&str], input: &[u8]) -> Output {
        feed(self.command(args), input)
    }

    /// Produces text, one record a line; must end with 0.
    pub fn produce(&self, args: &[&str], input: &str) {
        let output = self.feed(&[&["produce"], args].concat(), input.as_bytes());
        assert!(output.status.success(), "{args:?}: {}", said(&output));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A child that has ended and was waited for keeps its status: nothing is signalled then.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A process that ends however its test ends.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Runs a command with text on standard input.
pub fn feed(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Everything that a child says, read on a thread so that it never waits for a reader.
pub fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    })
}

/// Sends a signal to a process that the test started.
pub fn send_signal(pid: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Runs a verb that needs no node: `check` and `repair`.
pub fn flumen(args: &[&str]) -> Output {
    Command::new(FLUMEN).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Nothing in a stopped node's directory is damaged.
pub fn assert_checks(data: &Path, why: &str) {
    let check = flumen(&["check", data.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(0), "{why}: {}", said(&check));
}

/// Both outputs of a process.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Lines of a text.
pub fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}
