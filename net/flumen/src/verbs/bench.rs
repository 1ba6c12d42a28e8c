//! `flumen bench`: hands the harness what it does not know by itself: the hosts that a node runs on, and the command
//! that starts one. It measures nothing.

use crate::machine;
use flumen_bench::subject::{ChildNodes, Start};
use flumen_bench::{BenchArgs, HostEntry, World};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// `flumen bench`, with what the flags of all verbs say.
pub(crate) fn run(args: &BenchArgs, server: Option<SocketAddr>, json: bool) -> ExitCode {
    let mut args = args.clone();
    if let Some(server) = server {
        args.common.server = Some(server.to_string());
    }
    args.common.json_only |= json;
    flumen_bench::run(&args, &world(args.common.journal_mib))
}

fn world(journal_mib: u32) -> World {
    let host =
        HostEntry::new(machine::HOST_NAME, |place| Ok(machine::of_floor(place.cpu, place.dir.clone())));
    // Without its own path the program can still measure floors.
    let nodes = std::env::current_exe().ok().map(|program| {
        let nodes =
            ChildNodes::new(move |start, address| start_command(&program, journal_mib, start, address));
        Arc::new(nodes) as Arc<dyn flumen_bench::subject::Nodes>
    });
    World { hosts: vec![host], nodes }
}

/// One shard on the CPU that the harness chose; everything else as a node has it by default.
fn start_command(program: &Path, journal_mib: u32, start: &Start, address: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.args(["start", "--shards", "1", "--log-level", "warn"]);
    command.arg("--set").arg(format!("journal_bytes={journal_mib}MiB"));
    command.arg("--native").arg(address.to_string());
    command.arg("--cores").arg(start.cpu.to_string());
    command.arg("--data").arg(&start.dir);
    command
}
