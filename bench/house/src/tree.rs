//! The files of the project as they lie in the working tree. It reads; it judges nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders without a text of the project: what git and builds keep, and what fuzzing feeds on.
const NO_TEXTS: [&str; 3] = [".git", "target", "corpus"];

/// A file with its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Relative to the project's root, with `/` between the parts.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Whether the file is nothing but tests: a sibling, a folder of tests, or an integration test.
    pub fn is_test(&self) -> bool {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        self.path.contains("/tests/") || file == "tests.rs" || file.ends_with("_tests.rs")
    }
}

/// The project's root.
pub fn root() -> PathBuf {
    // Asked when it runs: a build may be older than the checkout that it is run for.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).ancestors().nth(2).expect("this crate lies in bench/house").to_path_buf()
}

/// The names in the root folder, sorted.
pub fn top_level(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).expect("the root can be listed");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("the root can be listed").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

/// Every text file whose name ends in one of `endings`, sorted by path.
pub fn files(root: &Path, endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(root, root, endings, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn walk(root: &Path, folder: &Path, endings: &[&str], found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the project can be listed") {
        let entry = entry.expect("a folder of the project can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("a file has a type");
        if kind.is_dir() && !NO_TEXTS.contains(&name.as_str()) {
            walk(root, &entry.path(), endings, found);
        } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
            let path = entry.path();
            let text = fs::read_to_string(&path).expect("a source is UTF-8");
            let path = path.strip_prefix(root).expect("below the root");
            found.push(Source { path: path.to_string_lossy().into_owned(), text });
        }
    }
}
