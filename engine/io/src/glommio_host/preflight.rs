//! What the kernel must offer, looked at before an executor starts: glommio's own complaints mislead, and some
//! end the process. Says exactly what to allow. Changes nothing.

use io_uring::{IoUring, Probe, opcode};
use std::io;

/// glommio refuses to start with less.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
const DISABLED_SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// What the kernel offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreflightReport {
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// The memlock limit in bytes; `u64::MAX` is unlimited.
    pub memlock_bytes: u64,
}

/// Looks at the kernel, the right to use io_uring, the operations that the host needs and the memlock limit.
/// The error is one sentence for the operator.
pub fn preflight() -> Result<PreflightReport, String> {
    let kernel = kernel_release();
    let ring = IoUring::new(8).map_err(|e| refused(&e, &kernel))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|e| {
        format!("kernel {kernel} does not list its io_uring operations ({e}): use Linux 5.8 or newer")
    })?;
    let missing: Vec<&str> =
        needed().into_iter().filter(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        return Err(format!(
            "kernel {kernel} lacks the io_uring operations {}: use Linux 5.8 or newer",
            missing.join(", ")
        ));
    }
    let memlock_bytes = memlock_bytes().map_err(|e| format!("cannot read the memlock limit: {e}"))?;
    if memlock_bytes < MEMLOCK_BYTES_MIN {
        return Err(format!(
            "the memlock limit is {memlock_bytes} bytes and must be at least {MEMLOCK_BYTES_MIN}: set \
             LimitMEMLOCK=infinity in the systemd unit, or `ulimit -l 8192` before the start"
        ));
    }
    Ok(PreflightReport { kernel, memlock_bytes })
}

fn refused(e: &io::Error, kernel: &str) -> String {
    match e.raw_os_error() {
        Some(libc::ENOSYS) => format!(
            "kernel {kernel} offers no io_uring, or a seccomp filter hides it: use Linux 5.8 or newer and allow \
             the system calls io_uring_setup, io_uring_enter and io_uring_register (in containers: the seccomp \
             profile)"
        ),
        Some(libc::EPERM | libc::EACCES) => match disabled_by_sysctl() {
            Some(level) => format!(
                "io_uring is switched off by the sysctl kernel.io_uring_disabled = {level}: set it to 0, or to 1 \
                 and put this user into the group named by kernel.io_uring_group"
            ),
            None => "io_uring is forbidden, by a seccomp filter or a security module: allow the system calls \
                     io_uring_setup, io_uring_enter and io_uring_register (in containers: the seccomp profile)"
                .to_owned(),
        },
        Some(libc::ENOMEM) => "there is not enough lockable memory for a ring: set LimitMEMLOCK=infinity in the \
                               systemd unit, or `ulimit -l 8192` before the start"
            .to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => {
            "no file descriptor is left for a ring: raise LimitNOFILE".to_owned()
        }
        _ => format!("io_uring does not start on kernel {kernel}: {e}"),
    }
}

fn disabled_by_sysctl() -> Option<String> {
    let text = std::fs::read_to_string(DISABLED_SYSCTL).ok()?;
    let level = text.trim();
    (level != "0").then(|| level.to_owned())
}

fn kernel_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "of unknown release".to_owned(), |text| text.trim().to_owned())
}

/// The memlock limit in bytes; `u64::MAX` is unlimited.
pub(super) fn memlock_bytes() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer and outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Every operation that glommio asks the kernel for.
fn needed() -> [(&'static str, u8); 23] {
    [
        ("NOP", opcode::Nop::CODE),
        ("READV", opcode::Readv::CODE),
        ("WRITEV", opcode::Writev::CODE),
        ("FSYNC", opcode::Fsync::CODE),
        ("READ_FIXED", opcode::ReadFixed::CODE),
        ("WRITE_FIXED", opcode::WriteFixed::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("POLL_REMOVE", opcode::PollRemove::CODE),
        ("SENDMSG", opcode::SendMsg::CODE),
        ("RECVMSG", opcode::RecvMsg::CODE),
        ("TIMEOUT", opcode::Timeout::CODE),
        ("TIMEOUT_REMOVE", opcode::TimeoutRemove::CODE),
        ("ACCEPT", opcode::Accept::CODE),
        ("LINK_TIMEOUT", opcode::LinkTimeout::CODE),
        ("CONNECT", opcode::Connect::CODE),
        ("FALLOCATE", opcode::Fallocate::CODE),
        ("OPENAT", opcode::OpenAt::CODE),
        ("CLOSE", opcode::Close::CODE),
        ("STATX", opcode::Statx::CODE),
        ("READ", opcode::Read::CODE),
        ("WRITE", opcode::Write::CODE),
        ("SEND", opcode::Send::CODE),
        ("RECV", opcode::Recv::CODE),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_ring_is_explained_by_what_to_allow() {
        let says = |errno: i32, what: &str| {
            let text = refused(&io::Error::from_raw_os_error(errno), "6.1");
            assert!(text.contains(what), "{text}");
        };
        says(libc::ENOSYS, "io_uring_setup");
        says(libc::ENOMEM, "LimitMEMLOCK");
        says(libc::EMFILE, "LimitNOFILE");
        says(libc::EINVAL, "6.1");
    }

    #[test]
    fn this_kernel_passes_or_is_told_why_not() {
        match preflight() {
            Ok(report) => assert!(report.memlock_bytes >= MEMLOCK_BYTES_MIN && !report.kernel.is_empty()),
            Err(text) => assert!(text.contains(':'), "{text}"),
        }
    }
}
