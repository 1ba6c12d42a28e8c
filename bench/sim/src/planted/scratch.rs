//! The copy of the sources that faults are put into, and what is built from it. One copy and one folder of builds serve
//! all faults: a file is written only when it changes, so that only changed crates are built again.

use super::patch::{Planted, Run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The profile of root `Cargo.toml` that faults are built with.
const PROFILE: &str = "planted";

/// A copy of the sources.
pub struct Scratch {
    folder: PathBuf,
    /// Every file as it is without a fault, by its path below the root.
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Scratch {
    /// Copies the sources at `root` to a folder of their own. What is there already and the same stays as it is.
    ///
    /// # Errors
    /// The disk.
    pub fn new(root: &Path, folder: &Path) -> Result<Scratch, String> {
        let mut files = BTreeMap::new();
        read_all(root, Path::new(""), &mut files)?;
        let scratch = Scratch { folder: folder.to_owned(), files };
        let mut there = BTreeMap::new();
        if scratch.tree().exists() {
            read_all(&scratch.tree(), Path::new(""), &mut there)?;
        }
        for gone in there.keys().filter(|path| !scratch.files.contains_key(*path)) {
            let path = scratch.tree().join(gone);
            fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        }
        scratch.plant(&[])?;
        Ok(scratch)
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The files that faults change, with all of them in.
    ///
    /// # Errors
    /// A fault does not fit, or not beside the others.
    fn changed(&self, faults: &[&Planted]) -> Result<BTreeMap<PathBuf, String>, String> {
        let mut changed: BTreeMap<PathBuf, String> = BTreeMap::new();
        for fault in faults {
            let more = fault.apply(|path| match changed.get(path) {
                Some(text) => Some(text.clone()),
                None => Some(String::from_utf8_lossy(self.files.get(path)?).into_owned()),
            })?;
            changed.extend(more);
        }
        Ok(changed)
    }

    /// Sorts faults that fit into groups that fit together, for a check of many at once.
    /// Beside them, why others do not fit.
    pub fn groups<'f>(&self, faults: &'f [Planted]) -> (Vec<Vec<&'f Planted>>, Vec<String>) {
        let (mut groups, mut unfit): (Vec<Vec<&Planted>>, _) = (Vec::new(), Vec::new());
        for fault in faults {
            if let Err(error) = self.changed(&[fault]) {
                unfit.push(error);
                continue;
            }
            let fits =
                |group: &&mut Vec<&Planted>| self.changed(&[group.as_slice(), &[fault]].concat()).is_ok();
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(fault),
                None => groups.push(vec![fault]),
            }
        }
        (groups, unfit)
    }

    /// Makes the copy what the sources are, with these faults in it.
    ///
    /// # Errors
    /// A fault does not fit, or the disk.
    pub fn plant(&self, faults: &[&Planted]) -> Result<(), String> {
        let changed = self.changed(faults)?;
        for (path, bytes) in &self.files {
            let wanted = changed.get(path).map_or(bytes.as_slice(), |text| text.as_bytes());
            write_if_other(&self.tree().join(path), wanted)?;
        }
        Ok(())
    }

    /// Type-checks the copy.
    ///
    /// # Errors
    /// What the compiler says, warnings too.
    pub fn check(&self) -> Result<(), String> {
        let said = self.cargo("check", Run::Sim)?;
        let said = String::from_utf8_lossy(&said.stderr);
        if said.contains("warning:") { Err(complaints(&said)) } else { Ok(()) }
    }

    /// Builds the copy's own hunter and keeps it under a name.
    ///
    /// # Errors
    /// What the compiler says, or the disk.
    pub fn build(&self, run: Run, name: &str) -> Result<PathBuf, String> {
        self.cargo("build", run)?;
        let built = self.target().join(PROFILE).join(run.binary());
        let kept = self.folder.join(format!("{name}-{}", run.name()));
        // A binary that still runs cannot be written over, but it can be unlinked.
        let _ = fs::remove_file(&kept);
        fs::copy(&built, &kept).map_err(|error| failed(&built, &error))?;
        Ok(kept)
    }

    fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    fn cargo(&self, what: &str, run: Run) -> Result<Output, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(self.tree()).args([what, "--quiet"]).args(run.target());
        command
            .args(["--profile", if what == "check" { "dev" } else { PROFILE }, "--target-dir"])
            .arg(self.target());
        let output = command.output().map_err(|error| format!("cargo cannot be started: {error}"))?;
        match output.status.success() {
            true => Ok(output),
            false => Err(complaints(&String::from_utf8_lossy(&output.stderr))),
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Reads every file below a folder but what builds and version control leave there.
fn read_all(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, &error))? {
        let entry = entry.map_err(|error| failed(&folder, &error))?;
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        let path = below.join(name);
        let kind = entry.file_type().map_err(|error| failed(&folder, &error))?;
        if kind.is_dir() {
            read_all(root, &path, files)?;
        } else if kind.is_file() {
            let bytes = fs::read(root.join(&path)).map_err(|error| failed(&path, &error))?;
            files.insert(path, bytes);
        }
    }
    Ok(())
}

fn write_if_other(path: &Path, wanted: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    fs::write(path, wanted).map_err(|error| failed(path, &error))
}

/// The first lines of what a compiler complains of.
fn complaints(stderr: &str) -> String {
    let is_one = |line: &&str| line.starts_with("error") || line.starts_with("warning");
    stderr.lines().skip_while(|line| !is_one(line)).take(12).collect::<Vec<_>>().join("\n")
}
