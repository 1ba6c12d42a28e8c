//! What goes to the terminal: answers on standard output, everything about the work on standard error. An answer is
//! text for people or JSON for programs (`OUTPUT.md`), never both.

pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod units;

use crate::exit::Exit;
use flumen_model::Error;
use serde::Serialize;
use std::io::{self, Write};

/// In which form answers are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For programs: one JSON object, as `OUTPUT.md` describes it.
    Json,
}

impl Form {
    /// JSON when `--json` was given.
    pub(crate) fn of(json: bool) -> Form {
        if json { Form::Json } else { Form::Text }
    }

    /// Prints an answer: `value` as JSON, or what `text` makes of it.
    pub(crate) fn answer<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) {
        match self {
            Form::Text => out(&text(value)),
            Form::Json => {
                let json = serde_json::to_string_pretty(value).expect("an answer has string keys only");
                out(&(json + "\n"));
            }
        }
    }
}

/// Prints to standard output. A reader that went away (`| head`) is no error.
pub(crate) fn out(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says a line about the work.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says what is wrong.
pub(crate) fn complain(message: &str) {
    note(&format!("error: {message}"));
}

/// Says what is wrong, and which exit code follows.
pub(crate) fn fail(error: &Error) -> Exit {
    complain(&error.message);
    Exit::of(error)
}
