//! The native protocol's frames: bytes in, values out.
#![forbid(unsafe_code)]
