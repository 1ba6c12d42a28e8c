//! Exit codes, after sysexits(3): what a script or systemd may conclude. The numbers are part of the interface.

use flumen_model::{Code, Error, Kind};
use std::fmt::Write as _;
use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// The command line or a request is wrong.
    Usage = 64,
    /// Stored data is damaged.
    Damaged = 65,
    /// A node is needed and cannot be reached, or it is closing.
    Unavailable = 69,
    /// A bug.
    Internal = 70,
    /// Disk or network failed.
    Io = 74,
    /// It may work in a moment.
    Retry = 75,
    /// A version or format that this program does not speak.
    Format = 76,
    /// A permission or a limit.
    Limit = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl Exit {
    /// All of them, in order, each with what it means and what to do.
    pub(crate) const ALL: &'static [(Exit, &'static str)] = &[
        (Exit::Ok, "done"),
        (Exit::Usage, "the command line or the request is wrong: change it"),
        (Exit::Damaged, "acked data is damaged: see `flumen check`; restarting does not help"),
        (
            Exit::Unavailable,
            "the node cannot be reached or is closing: is it running, and is --server right?",
        ),
        (Exit::Internal, "a bug in this program: please report it"),
        (Exit::Io, "disk or network failed: see the message"),
        (Exit::Retry, "not now: try again in a moment"),
        (
            Exit::Format,
            "written or spoken by a version that this one does not understand: install a newer one",
        ),
        (Exit::Limit, "a permission or a limit is in the way: allow or free something first"),
        (Exit::Config, "the configuration is wrong: see the message"),
    ];

    /// The code for an error of a request or of the log.
    pub(crate) fn of(error: &Error) -> Exit {
        match error.code {
            Code::Unsupported => Exit::Format,
            Code::DiskFull | Code::LogFailed => Exit::Io,
            _ => match error.kind() {
                Kind::Retry | Kind::NotLeader => Exit::Retry,
                Kind::Invalid => Exit::Usage,
                Kind::Full => Exit::Limit,
                Kind::Corrupt => Exit::Damaged,
                Kind::Closed => Exit::Unavailable,
            },
        }
    }

    /// The number.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}

/// The codes as text, for `flumen --help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(text, "  {:>2}  {meaning}", exit.number());
    }
    text.push_str(
        "`flumen tune check` ends with 3 when something fails, and with 1 for a warning and --strict; `flumen bench` \
         with 1 when a limit is missed, and with 2 when the run failed.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_has_an_exit_code_of_the_table() {
        for &code in Code::ALL {
            let exit = Exit::of(&Error::new(code, "x"));
            assert!(Exit::ALL.iter().any(|(have, _)| *have == exit), "{code:?}");
            assert_ne!(exit, Exit::Ok, "{code:?}");
        }
    }

    #[test]
    fn what_a_person_must_repair_does_not_look_like_what_time_repairs() {
        assert_eq!(Exit::of(&Error::new(Code::Corrupt, "x")).number(), 65);
        assert_eq!(Exit::of(&Error::new(Code::NotReady, "x")).number(), 75);
        assert_eq!(Exit::of(&Error::new(Code::UnknownTopic, "x")).number(), 64);
        assert_eq!(Exit::of(&Error::new(Code::Unsupported, "x")).number(), 76);
    }

    #[test]
    fn the_help_names_every_code() {
        let text = help();
        for (exit, _) in Exit::ALL {
            assert!(text.contains(&format!(" {}  ", exit.number())), "{exit:?}");
        }
    }
}
