//! A panic on a core must take the process down at once: other cores may wait for it for ever.

#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

use flumen_io::glommio_host::{DsyncMethod, GlommioConfig, GlommioHost, GlommioMachine, cpus_allowed};
use flumen_io::{Core, Host, Machine};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

const DIRECTORY: &str = "FLUMEN_PANIC_TEST_DIRECTORY";

#[test]
fn a_panic_on_a_core_ends_the_process() {
    // The child ends without cleaning up after itself.
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .env(DIRECTORY, dir.path())
        .args(["--exact", "child_of_the_test_above", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{:?}", child.status);
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("an invariant is broken"), "the panic is reported first: {said}");
}

#[test]
#[ignore = "panics on purpose; the test above runs it"]
fn child_of_the_test_above() {
    let probe_dir = std::env::var_os(DIRECTORY).expect("the test above sets it").into();
    let mut cpus = cpus_allowed().unwrap();
    cpus.push(cpus[0]);
    let config = GlommioConfig { cpus, spin: Duration::ZERO, dsync: DsyncMethod::ODsync, probe_dir };
    let main = |host: GlommioHost| async move {
        host.sleep(Duration::from_millis(10)).await;
        assert_eq!(host.core(), Core(0), "an invariant is broken");
        host.sleep(Duration::from_secs(3600)).await;
    };
    GlommioMachine::new(config).run(vec![main, main]).unwrap();
}
