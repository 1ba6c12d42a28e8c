//! The rules of the house against the real tree. A failure names the place and the rule; nothing here is changed to
//! make a failure go away without a reason written beside it.
#![forbid(unsafe_code)]

mod arrows;
mod lexing;
mod purity;
mod shelf;
mod sources;

use flumen_house::rust_text::{Parts, parts};
use flumen_house::tree::{self, Source};

/// Every Rust source with its parts.
fn rust() -> Vec<(Source, Parts)> {
    let sources = tree::files(&tree::root(), &[".rs"]);
    assert!(sources.len() > 100, "the tree was found");
    sources.into_iter().map(|source| (source.clone(), parts(&source.text))).collect()
}

/// Fails with all findings at once.
fn none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
