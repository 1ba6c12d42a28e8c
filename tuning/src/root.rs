//! The directory that stands for `/`: every fact about the machine is read below it, so that a fixture tree can
//! stand for a machine. It reads only, and it answers "nothing there" and "not allowed" apart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What reading one fact brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The text, without the white space around it.
    Value(String),
    /// This machine has no such thing.
    Absent,
    /// It is there, and this user may not read it or the kernel answered with an error.
    Unreadable,
}

impl Fact {
    /// The text, when there is one.
    pub fn value(&self) -> Option<&str> {
        match self {
            Fact::Value(text) => Some(text),
            _ => None,
        }
    }
}

/// The directory that stands for `/`.
#[derive(Clone, Debug)]
pub struct Root {
    directory: PathBuf,
}

impl Root {
    /// The machine itself.
    pub fn system() -> Root {
        Root::at("/")
    }

    /// A tree that stands for a machine.
    pub fn at(directory: impl Into<PathBuf>) -> Root {
        Root { directory: directory.into() }
    }

    /// Whether this is the machine itself, whose system calls may be asked as well.
    pub fn is_system(&self) -> bool {
        self.directory == Path::new("/")
    }

    /// Where an absolute path of the machine lies.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.directory.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// One small file.
    pub fn read(&self, absolute: impl AsRef<Path>) -> Fact {
        match fs::read_to_string(self.path(absolute)) {
            Ok(text) => Fact::Value(text.trim().to_owned()),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Fact::Absent
            }
            Err(_) => Fact::Unreadable,
        }
    }

    /// One small file, when it is there and readable.
    pub fn text(&self, absolute: impl AsRef<Path>) -> Option<String> {
        match self.read(absolute) {
            Fact::Value(text) => Some(text),
            _ => None,
        }
    }

    /// One small file that holds a whole number.
    pub fn number(&self, absolute: impl AsRef<Path>) -> Option<i64> {
        self.text(absolute)?.parse().ok()
    }

    /// The names in a directory, sorted; empty when it is not there.
    pub fn list(&self, absolute: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(absolute)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Whether there is something at this path.
    pub fn exists(&self, absolute: impl AsRef<Path>) -> bool {
        self.path(absolute).exists()
    }

    /// An absolute path of the machine with every link resolved.
    pub fn resolve(&self, absolute: impl AsRef<Path>) -> Option<PathBuf> {
        let real = fs::canonicalize(self.path(absolute)).ok()?;
        let base = fs::canonicalize(&self.directory).ok()?;
        Some(Path::new("/").join(real.strip_prefix(base).ok()?))
    }

    /// The nearest directory at or above `path` that exists, with every link resolved: a data directory that is
    /// still to be made lies on the filesystem of its nearest ancestor. A copy of another machine's `/proc` and
    /// `/sys` holds no data directory, so there `path` is taken as it is.
    pub fn nearest_existing(&self, path: &Path) -> PathBuf {
        if !self.is_system() {
            return Path::new("/").join(path);
        }
        let absolute = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).join(path);
        absolute.ancestors().find_map(|ancestor| self.resolve(ancestor)).unwrap_or_else(|| PathBuf::from("/"))
    }
}
