//! One node assembled, generic over the host.
#![forbid(unsafe_code)]
