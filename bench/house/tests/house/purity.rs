//! The pure rooms have no clock, no chance, no file, no socket and no thread: all of it comes in as arguments.

use crate::{none, rust};
use flumen_house::rust_text::{without_tests, words};

/// Folders in which nothing but values is handled.
const PURE: [&str; 4] = ["replication/src/", "engine/model/src/", "net/wire/src/", "net/client/src/core/"];

/// Folders that reach the machine through the host seam alone.
const THROUGH_THE_SEAM: [&str; 4] = ["engine/src/", "engine/log/src/", "net/src/", "net/node/src/"];

/// Names that stand for the machine. As whole words, so that no path and no renaming hides them.
const MACHINE: [&str; 17] = [
    "Instant",
    "SystemTime",
    "fs",
    "OpenOptions",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "thread",
    "rand",
    "tokio",
    "glommio",
    "libc",
    "RandomState",
    "Mutex",
    "RwLock",
];

/// Beyond them, in pure rooms: even the seam.
const SEAM: [&str; 2] = ["flumen_io", "async"];

fn findings(folders: &[&str], banned: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for (source, parts) in rust() {
        if source.is_test() || !folders.iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        let code = without_tests(&parts.code);
        let found = words(&code).filter(|(_, word)| banned.contains(word));
        findings.extend(found.map(|(line, word)| format!("{}:{line}: {word}", source.path)));
    }
    findings
}

#[test]
fn pure_rooms_know_no_machine_and_never_wait() {
    none("not pure", findings(&PURE, &[MACHINE.as_slice(), &SEAM].concat()));
}

#[test]
fn a_node_reaches_the_machine_through_the_host_seam_alone() {
    none("past the host seam", findings(&THROUGH_THE_SEAM, &MACHINE));
}

#[test]
fn every_room_under_these_rules_is_there() {
    let sources = rust();
    for folder in PURE.iter().chain(&THROUGH_THE_SEAM) {
        assert!(
            sources.iter().any(|(source, _)| source.path.starts_with(folder)),
            "{folder} is empty or gone"
        );
    }
}
