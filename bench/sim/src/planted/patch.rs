//! One planted fault as a file: lines that say what the mistake is and where it shows, then a unified diff. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which simulator finds a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Whole nodes: `flumen-sim`.
    Sim,
    /// The Raft driver's own ring of replicas: its example `ring`.
    Ring,
}

impl Run {
    /// Its name in a patch's head.
    pub fn name(self) -> &'static str {
        match self {
            Run::Sim => "sim",
            Run::Ring => "ring",
        }
    }

    /// The package whose build finds it, and the target in it.
    pub fn target(self) -> [&'static str; 4] {
        match self {
            Run::Sim => ["--package", "flumen-sim", "--bin", "flumen-planted"],
            Run::Ring => ["--package", "flumen-replication", "--example", "ring"],
        }
    }

    /// Where the build leaves the binary, below the folder of its profile.
    pub fn binary(self) -> &'static str {
        match self {
            Run::Sim => "flumen-planted",
            Run::Ring => "examples/ring",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Run> {
        [Run::Sim, Run::Ring].into_iter().find(|run| run.name() == name)
    }
}

/// A planted fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// The file's name without its ending.
    pub name: String,
    /// The mistake, in a sentence.
    pub mistake: String,
    /// The promises of which one should be found broken, by name.
    pub promises: Vec<String>,
    /// Who finds it.
    pub run: Run,
    /// The scenarios that its seeds take in turn (for the ring: its mode); none lets each seed draw its own.
    pub scenarios: Vec<String>,
    diff: String,
}

impl Planted {
    /// Reads a patch file.
    ///
    /// # Errors
    /// What is missing in its head.
    pub fn parse(name: &str, text: &str) -> Result<Planted, String> {
        let head = |key: &str| {
            let lines = text.lines().take_while(|line| line.starts_with('#'));
            let mut values = lines.filter_map(|line| line.trim_start_matches('#').trim().strip_prefix(key));
            values.next().map(|value| value.trim().to_string())
        };
        let needed = |key: &str| head(key).ok_or_else(|| format!("{name}: there is no line `# {key} ...`"));
        let words = |value: String| {
            value.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_string).collect()
        };
        let run = needed("run:")?;
        Ok(Planted {
            name: name.to_string(),
            mistake: needed("mistake:")?,
            promises: words(needed("promise:")?),
            run: Run::named(&run).ok_or_else(|| format!("{name}: `run:` is sim or ring, not {run:?}"))?,
            scenarios: head("scenario:").map(words).unwrap_or_default(),
            diff: text
                .lines()
                .skip_while(|line| line.starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect(),
        })
    }

    /// The files that it changes, as they are with the mistake in them. `read` gives the text of a file by its path
    /// below the root of the sources.
    ///
    /// # Errors
    /// The part that does not fit any more.
    pub fn apply(&self, read: impl Fn(&Path) -> Option<String>) -> Result<BTreeMap<PathBuf, String>, String> {
        let mut changed = BTreeMap::new();
        for part in self.parts() {
            let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", self.name);
            let patch = diffy::Patch::from_str(part).map_err(|error| wrong(&error))?;
            let path = patch.original().and_then(|path| path.strip_prefix("a/"));
            let path = PathBuf::from(path.ok_or_else(|| wrong(&"a part of it names no file a/..."))?);
            let text = read(&path).ok_or_else(|| wrong(&format!("there is no file {}", path.display())))?;
            let text = diffy::apply(&text, &patch)
                .map_err(|error| wrong(&format!("{}: {error}", path.display())))?;
            changed.insert(path, text);
        }
        match changed.is_empty() {
            true => Err(format!("{}: it changes nothing", self.name)),
            false => Ok(changed),
        }
    }

    /// The diff, one part for each file.
    fn parts(&self) -> Vec<&str> {
        let mut starts: Vec<usize> = Vec::new();
        let mut at = 0;
        for line in self.diff.split_inclusive('\n') {
            let next = &self.diff[at + line.len()..];
            // A removed line may look like the head of a file; the line behind it then does not.
            if line.starts_with("--- ") && next.starts_with("+++ ") {
                starts.push(at);
            }
            at += line.len();
        }
        let ends = starts.iter().skip(1).copied().chain([self.diff.len()]);
        starts.iter().zip(ends).map(|(&start, end)| &self.diff[start..end]).collect()
    }
}

/// All faults of a folder, by name.
///
/// # Errors
/// A file that cannot be read, or is no planted fault.
pub fn all(folder: &Path) -> Result<Vec<Planted>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "patch") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            found.push(Planted::parse(&name, &std::fs::read_to_string(&path).map_err(failed)?)?);
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: &str = "\
# mistake: it counts one too many
# promise: Order, NoPanic
# run: sim
# scenario: power torn
--- a/one.rs
+++ b/one.rs
@@ -1,3 +1,3 @@
 first
-- a
+++ b
 third
--- a/two.rs
+++ b/two.rs
@@ -1,1 +1,1 @@
-x
+y
";

    #[test]
    fn a_fault_says_what_it_is_and_changes_the_files_that_it_names() {
        let fault = Planted::parse("01-count", FAULT).expect("it is one");
        assert_eq!((fault.run, fault.promises.len()), (Run::Sim, 2));
        assert_eq!(fault.scenarios, ["power", "torn"]);
        let read = |path: &Path| match path.to_str() {
            Some("one.rs") => Some("before\nfirst\n- a\nthird\n".to_string()),
            _ => Some("x\n".to_string()),
        };
        let changed = fault.apply(read).expect("it fits, one line further down");
        assert_eq!(changed[Path::new("one.rs")], "before\nfirst\n++ b\nthird\n");
        assert_eq!(changed[Path::new("two.rs")], "y\n");
    }

    #[test]
    fn a_fault_that_does_not_fit_any_more_is_refused() {
        let fault = Planted::parse("01-count", FAULT).expect("it is one");
        assert!(fault.apply(|_| Some("something else\n".into())).is_err());
        assert!(fault.apply(|_| None).is_err());
        assert!(Planted::parse("bad", "# mistake: x\n# promise: y\n# run: z\n").is_err());
        assert!(Planted::parse("bad", "# mistake: x\n# run: sim\n").is_err());
    }
}
