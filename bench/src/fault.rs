//! Turns what the machine says into the house's errors: a sentence that says what was tried, with a code. It must
//! never swallow the machine's own words.

use flumen_model::error::{Code, Error};
use std::fmt::Display;
use std::io;

/// An error of something that the machine refused.
pub(crate) fn failed(what: impl Display, error: io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Code::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted => Code::Closed,
        io::ErrorKind::Unsupported => Code::Unsupported,
        _ => Code::InvalidSetting,
    };
    Error::new(code, format!("{what}: {error}"))
}
