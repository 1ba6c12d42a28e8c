//! The few system calls that the standard library does not offer: pinning, and waiting for a socket with a timer
//! finer than a clock tick. The only room of this crate with `unsafe`; it must never grow logic.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// CPUs that a mask can name; the kernel's own `CONFIG_NR_CPUS` is at most 8,192 on x86-64.
const CPUS_MAX: usize = 8192;

/// Pins a thread or process (`0` is the calling thread) to `cpus`.
pub(crate) fn pin(pid: u32, cpus: &[usize]) -> io::Result<()> {
    let mut mask = [0u64; CPUS_MAX / 64];
    for &cpu in cpus {
        let word =
            mask.get_mut(cpu / 64).ok_or_else(|| io::Error::other(format!("there is no CPU {cpu}")))?;
        *word |= 1 << (cpu % 64);
    }
    // SAFETY: the mask lives across the call, its size is passed in bytes, and the kernel only reads it.
    let code = unsafe { libc::sched_setaffinity(pid as i32, size_of_val(&mask), mask.as_ptr().cast()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The CPUs this thread may run on, ascending. Respects `taskset`, cgroups and a unit's `CPUAffinity=`.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mut mask = [0u64; CPUS_MAX / 64];
    // SAFETY: the kernel writes at most the size that is passed, into an array of exactly that size.
    let code = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((0..CPUS_MAX).filter(|cpu| mask[cpu / 64] >> (cpu % 64) & 1 == 1).collect())
}

/// Lets this thread's timers fire to the microsecond; the default slack of 50 µs is as long as a round trip.
pub(crate) fn fine_timers() -> io::Result<()> {
    // SAFETY: PR_SET_TIMERSLACK takes one number and touches no memory of ours.
    let code = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the process that `command` starts die with the thread that starts it, however that ends: a node that stays
/// behind would spin beside the next run.
pub(crate) fn die_with_parent(command: &mut Command) {
    let die = || {
        // SAFETY: PR_SET_PDEATHSIG takes one number and touches no memory of ours.
        let code = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec the closure makes one system call; it takes no lock and allocates nothing.
    unsafe { command.pre_exec(die) };
}

/// Waits until `socket` has bytes to read, or (when `writable` is asked for too) takes bytes again, or is closed, or
/// `wait` is over.
pub(crate) fn wait_ready(socket: &impl AsFd, writable: bool, wait: Duration) -> io::Result<()> {
    let events = if writable { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
    poll(&mut [entry(socket, events)], wait)
}

/// Waits until one of `sockets` has bytes to read or is closed, or `wait` is over.
pub(crate) fn wait_any<'a, S: AsFd + 'a>(
    sockets: impl Iterator<Item = &'a S>,
    wait: Duration,
) -> io::Result<()> {
    let mut entries: Vec<libc::pollfd> = sockets.map(|socket| entry(socket, libc::POLLIN)).collect();
    poll(&mut entries, wait)
}

fn entry(socket: &impl AsFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd: socket.as_fd().as_raw_fd(), events, revents: 0 }
}

fn poll(entries: &mut [libc::pollfd], wait: Duration) -> io::Result<()> {
    let wait = libc::timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    // SAFETY: the entries and the timespec live across the call; a null signal mask means "unchanged". The callers
    // borrow the sockets, so their descriptors stay open.
    let code =
        unsafe { libc::ppoll(entries.as_mut_ptr(), entries.len() as u64, &raw const wait, std::ptr::null()) };
    match code {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_cpu_alone() {
        let last = *allowed_cpus().unwrap().last().unwrap();
        let seen = std::thread::spawn(move || {
            pin(0, &[last]).unwrap();
            allowed_cpus().unwrap()
        });
        assert_eq!(seen.join().unwrap(), vec![last]);
    }

    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("3600");
            die_with_parent(&mut command);
            command.spawn().unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn a_cpu_that_no_mask_can_name_is_refused() {
        assert!(pin(0, &[CPUS_MAX]).is_err());
    }
}
