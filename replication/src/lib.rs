//! The Raft driver of one replica: no clock, no disk, no socket.
#![forbid(unsafe_code)]
