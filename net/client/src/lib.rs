//! The native client: producer, subscriber, admin.
#![forbid(unsafe_code)]
