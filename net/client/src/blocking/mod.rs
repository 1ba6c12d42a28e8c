//! The blocking face: a plain socket on the caller's thread, for those who count microseconds. No runtime and no
//! thread of its own, so that nothing stands between a call and its write.

mod raw;

pub use raw::RawConnection;
