//! What this machine is and what it can do: check and probe.
#![forbid(unsafe_code)]
