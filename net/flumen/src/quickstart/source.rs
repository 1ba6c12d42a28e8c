//! Which text quickstart publishes: the file that was named, else a log of this machine that anybody may see, else
//! what the kernel tells of the machine. Never a log of who signed in, and nothing that may name one.

use crate::verbs::lines::Lines;
use flumen_model::{Code, Error, Result};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// Logs of packages and of the boot: real text, and nothing of anybody. The system's general log is not among them,
/// since it may hold what belongs to authentication.
const LOGS: &[&str] = &[
    "/var/log/dpkg.log",
    "/var/log/dnf.log",
    "/var/log/dnf.rpm.log",
    "/var/log/pacman.log",
    "/var/log/zypper.log",
    "/var/log/yum.log",
    "/var/log/emerge.log",
    "/var/log/apk.log",
    "/var/log/apt/history.log",
    "/var/log/apt/term.log",
    "/var/log/alternatives.log",
    "/var/log/bootstrap.log",
    "/var/log/dpkg.log.1",
    "/var/log/boot.log",
    "/var/log/Xorg.0.log",
    "/var/log/fontconfig.log",
];
/// Used when there is no such log: what the kernel tells of the machine, the same to everybody on it.
const KERNEL: &[&str] = &["/proc/cpuinfo", "/proc/meminfo", "/proc/vmstat", "/proc/interrupts", "/proc/stat"];
/// A log with fewer lines says little.
const LINES_MIN: usize = 20;
/// So much of a file is read: enough for any figure, and it stays in memory.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// A longer line would not fit into a batch of the default size.
const LINE_BYTES_MAX: usize = 512 * 1024;

/// The lines to publish.
#[derive(Debug)]
pub(crate) struct Source {
    /// What it is, for the screen.
    pub(crate) name: String,
    /// Whether the file was longer than what is used of it.
    pub(crate) cut: bool,
    text: Vec<u8>,
    lines: Vec<Range<usize>>,
}

impl Source {
    /// The file that was named, or one that this machine has.
    pub(crate) fn choose(file: Option<&Path>) -> Result<Source> {
        match file {
            Some(path) => Source::read(path),
            None => Source::of_machine(LOGS, KERNEL),
        }
    }

    fn of_machine(logs: &[&str], kernel: &[&str]) -> Result<Source> {
        let readable = logs.iter().filter_map(|path| Source::read(Path::new(path)).ok());
        let mut enough = readable.filter(|source| source.lines.len() >= LINES_MIN);
        if let Some(source) = enough.next() {
            return Ok(source);
        }
        let mut text = Vec::new();
        let mut used = Vec::new();
        for path in kernel {
            if read_bounded(Path::new(path), &mut text).is_ok() {
                used.push(*path);
            }
        }
        Source::of_text(used.join(", "), false, text).map_err(|_| {
            Error::new(
                Code::InvalidRequest,
                "this machine has no log to read: name a file of text, as in `flumen quickstart FILE`",
            )
        })
    }

    fn read(path: &Path) -> Result<Source> {
        let mut text = Vec::new();
        let cut = read_bounded(path, &mut text).map_err(|error| {
            Error::new(Code::InvalidRequest, format!("{} cannot be read: {error}", path.display()))
        })?;
        if cut {
            // The last line is half a line.
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            text.truncate(whole);
        }
        Source::of_text(path.display().to_string(), cut, text)
    }

    fn of_text(name: String, cut: bool, text: Vec<u8>) -> Result<Source> {
        let wrong = |what: String| Error::new(Code::InvalidRequest, format!("{name} {what}"));
        let mut lines = Vec::new();
        let mut reader = Lines::new(&text[..], &*name);
        while let Some(line) = reader.next()? {
            let bytes = line.len();
            if bytes > LINE_BYTES_MAX {
                return Err(wrong(format!(
                    "has a line of {bytes} bytes, number {}: name a file of text",
                    reader.number()
                )));
            }
            let end = reader.bytes() as usize;
            let start = end - bytes - usize::from(text[end - 1] == b'\n');
            lines.push(start..start + bytes);
        }
        if lines.is_empty() {
            return Err(wrong("has no line: name a file of text".to_owned()));
        }
        Ok(Source { name, cut, text, lines })
    }

    /// A text without a file.
    #[cfg(test)]
    pub(crate) fn for_test(text: &[u8]) -> Source {
        Source::of_text("test".to_owned(), false, text.to_vec()).unwrap()
    }

    /// How many lines it has; at least one.
    pub(crate) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Bytes of its lines.
    pub(crate) fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    /// The line of a number, counted from 0 and again and again through the file.
    pub(crate) fn line(&self, number: u64) -> &[u8] {
        &self.text[self.lines[(number % self.len()) as usize].clone()]
    }
}

/// Reads a file behind `text`, up to the bound of all; whether there was more.
fn read_bounded(path: &Path, text: &mut Vec<u8>) -> std::io::Result<bool> {
    // A directory opens, a pipe would wait for ever: neither is a log.
    let kind = std::fs::metadata(path)?;
    if !kind.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let left = TEXT_BYTES_MAX.saturating_sub(text.len() as u64);
    BufReader::new(File::open(path)?).take(left + 1).read_to_end(text)?;
    let cut = text.len() as u64 > TEXT_BYTES_MAX;
    text.truncate(TEXT_BYTES_MAX as usize);
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Logs of authentication, by their usual names.
    const NEVER: &[&str] = &[
        "auth", "secure", "btmp", "wtmp", "utmp", "lastlog", "faillog", "sudo", "syslog", "messages",
        "journal", "audit",
    ];

    #[test]
    fn no_log_of_authentication_is_ever_chosen() {
        for log in LOGS {
            for name in NEVER {
                assert!(!log.contains(name), "{log}");
            }
        }
    }

    #[test]
    fn lines_come_again_and_again_exactly_as_they_are_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, b"one\n\nthree\r\n\xfffour").unwrap();
        let source = Source::choose(Some(&path)).unwrap();
        assert_eq!((source.len(), source.cut), (4, false));
        let lines: Vec<&[u8]> = (0..6).map(|number| source.line(number)).collect();
        assert_eq!(lines, [&b"one"[..], b"", b"three\r", b"\xfffour", b"one", b""]);
    }

    #[test]
    fn a_file_without_a_line_or_that_is_none_is_refused_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        fs::write(&empty, "").unwrap();
        for path in [empty.as_path(), directory.path(), Path::new("/nowhere/at/all"), Path::new("/dev/zero")]
        {
            let error = Source::choose(Some(path)).unwrap_err();
            assert!(error.message.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn the_first_log_with_enough_lines_is_taken_else_the_kernels_text() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: usize| {
            let path = directory.path().join(name);
            fs::write(&path, "line\n".repeat(lines)).unwrap();
            path.display().to_string()
        };
        let (short, long) = (write("short", 3), write("long", 30));
        assert_eq!(Source::of_machine(&["/none", &short, &long], &[]).unwrap().name, long);
        let kernel = Source::of_machine(&["/none", &short], &["/none", &short, &long]).unwrap();
        assert_eq!((kernel.name, kernel.lines.len()), (format!("{short}, {long}"), 33));
        let error = Source::of_machine(&["/none"], &["/none"]).unwrap_err();
        assert!(error.message.contains("quickstart FILE"), "{error}");
    }
}
