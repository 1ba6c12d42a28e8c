//! What only the real host owes: refusals before any core starts, descriptors as they must be, nothing leaked.

use super::{DsyncMethod, GlommioConfig, GlommioHost, GlommioMachine, SPIN_DEDICATED, cpus_allowed};
use crate::local::join2;
use crate::{Access, Host, Listener, Machine, Stream};
use std::future::Future;
use std::io::ErrorKind;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn config(probe_dir: &Path) -> GlommioConfig {
    let mut cpus = cpus_allowed().unwrap();
    cpus.push(cpus[0]);
    let probe_dir = probe_dir.to_owned();
    GlommioConfig { cpus, spin: SPIN_DEDICATED, dsync: DsyncMethod::ODsync, probe_dir }
}

fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce(GlommioHost, PathBuf) -> F + Send + 'static) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    GlommioMachine::new(config(dir.path())).run(vec![move |host| main(host, path)]).unwrap();
}

async fn never_runs(_: GlommioHost) {
    unreachable!("no main starts on a machine that is refused");
}

#[test]
fn a_wrong_configuration_is_refused_before_any_core_starts() {
    let dir = tempfile::tempdir().unwrap();
    let good = config(dir.path());
    let refused = |config: GlommioConfig, cores: usize, says: &str| {
        let error = GlommioMachine::new(config).run(vec![never_runs; cores]).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(says), "{error}");
    };
    let cpus = good.cpus.len();
    refused(good.clone(), cpus + 1, "do not fit");
    refused(good.clone(), 0, "do not fit");
    refused(GlommioConfig { cpus: vec![4_000], ..good.clone() }, 1, "CPU 4000");
    refused(GlommioConfig { spin: Duration::from_millis(1), ..good }, 1, "spin");
}

#[test]
fn a_core_that_cannot_start_stops_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let missing = config(&dir.path().join("missing"));
    let error = GlommioMachine::new(missing).run(vec![never_runs; 2]).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("probe file"), "{error}");
}

#[test]
fn the_probe_file_is_gone_when_the_main_starts() {
    run(|host, dir| async move {
        assert!(host.list_dir(&dir).await.unwrap().is_empty());
    });
}

/// The flags of every descriptor that this process has open on a path.
fn flags_of(path: &Path) -> Vec<libc::c_int> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let same = std::fs::read_link(entry.path()).ok()? == path;
        same.then(|| flags(entry.file_name().to_str()?.parse().ok()?)).flatten()
    });
    open.collect()
}

fn flags(fd: RawFd) -> Option<libc::c_int> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let octal = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    libc::c_int::from_str_radix(octal.trim(), 8).ok()
}

#[test]
fn durable_files_have_a_descriptor_with_o_dsync_and_all_are_closed_on_exec() {
    run(|host, dir| async move {
        let path = dir.join("f");
        let file = host.open(&path, Access::DURABLE).await.unwrap();
        let all = flags_of(&path);
        assert_eq!(all.iter().filter(|flags| **flags & libc::O_DSYNC != 0).count(), 1, "{all:?}");
        assert!(all.iter().all(|flags| flags & libc::O_CLOEXEC != 0), "{all:?}");
        drop(file);
        let _volatile = host.open(&path, Access::WRITE).await.unwrap();
        host.sleep(Duration::from_millis(20)).await;
        let all = flags_of(&path);
        assert!(all.len() == 1 && all[0] & libc::O_DSYNC == 0, "{all:?}");
    });
}

#[test]
fn sockets_are_closed_on_exec_and_do_not_delay_small_packets() {
    run(|host, _| async move {
        let listener = host.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (client, server) = join2(host.connect(listener.local_addr()), listener.accept()).await;
        let server = host.adopt(server.unwrap().detach()).unwrap();
        for stream in [client.unwrap(), server] {
            assert!(flags(stream.fd()).unwrap() & libc::O_CLOEXEC != 0);
            // SAFETY: the descriptor is open; the borrowed socket is never closed.
            let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(stream.fd()) };
            assert!(socket2::SockRef::from(&socket).tcp_nodelay().unwrap());
        }
    });
}

#[test]
fn abandoned_opens_close_what_they_opened() {
    run(|host, dir| async move {
        let path = dir.join("f");
        drop(host.open(&path, Access::WRITE).await.unwrap());
        for _ in 0..50 {
            crate::contract::poll_once_and_drop(host.open(&path, Access::READ)).await;
        }
        let mut open = usize::MAX;
        for _ in 0..200 {
            host.sleep(Duration::from_millis(10)).await;
            open = flags_of(&path).len();
            if open == 0 {
                break;
            }
        }
        assert_eq!(open, 0, "descriptors are left");
    });
}
