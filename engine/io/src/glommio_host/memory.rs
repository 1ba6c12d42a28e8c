//! How the process keeps its memory. A core that takes and frees megabytes a thousand times a second must not give
//! them back to the kernel each time: every page would come again by a fault, cleared. Never an allocator of our own.

/// Free memory at the top of an arena that is kept.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: libc::c_int = 256 << 20;
/// Only larger allocations get pages of their own: glibc allows no more.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 32 << 20;
/// An arena grows by this much more than is asked.
#[cfg(target_env = "gnu")]
const GROWTH_BYTES: libc::c_int = 16 << 20;

/// Lets the C library keep what is freed. Other libraries than glibc do as they like.
pub(super) fn keep_freed() {
    #[cfg(target_env = "gnu")]
    for (what, bytes) in [
        (libc::M_TRIM_THRESHOLD, KEPT_BYTES),
        (libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN),
        (libc::M_TOP_PAD, GROWTH_BYTES),
    ] {
        // SAFETY: takes no pointers; a value that is not to its liking is refused and changes nothing.
        if unsafe { libc::mallopt(what, bytes) } == 0 {
            tracing::debug!(what, bytes, "the C library keeps its own way with freed memory");
        }
    }
}
