//! The log: one line an event on standard error, for people or as JSON. Started once, before anything else. Data
//! cores only hand events over when something went wrong; nothing is logged for each record.

use crate::config::LogFormat;
use flumen_model::{Code, Error, Result};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Starts the log. `level` is `info` or a list such as `info,flumen_log=debug`.
pub(crate) fn start(level: &str, format: LogFormat) -> Result<()> {
    let filter = EnvFilter::builder().parse(level).map_err(|error| {
        Error::new(Code::InvalidSetting, format!("log_level {level:?} cannot be understood: {error}"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| Error::new(Code::InvalidSetting, format!("the log cannot be started: {error}")))
}

/// Starts the log of a verb that is no node: warnings and errors, for people.
pub(crate) fn start_default() -> Result<()> {
    start("warn", LogFormat::Text)
}
