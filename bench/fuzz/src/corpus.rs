//! The corpus on disk: a folder per target, a file per input. Seeds are made by the real encoders; what begins with
//! `found-` once broke something.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of all corpora.
pub fn folder() -> PathBuf {
    // Cargo says where the crate lies now; a program that is run by itself looks where it was built.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).join("corpus")
}

/// The inputs of a target with their file names, sorted by them. None when it has no folder.
///
/// # Errors
/// What the filesystem says.
pub fn load(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let folder = folder().join(target);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        inputs.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    inputs.sort();
    Ok(inputs)
}

/// Writes an input and tells where.
///
/// # Errors
/// What the filesystem says.
pub fn save(target: &str, name: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = folder().join(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    fs::write(&path, input)?;
    Ok(path)
}
