//! What every source file keeps: it says what it is, it has the rights of its room, it is not too long.

use crate::{none, rust};
use flumen_house::rust_text::{functions, without_tests, words};

/// Where `unsafe` may stand beside `engine/io`, each with its reason.
const UNSAFE: [(&str, &str); 4] = [
    ("bench/src/sys.rs", "the harness pins threads and waits finer than a clock tick, outside any node"),
    ("replication/tests/memory.rs", "a counting allocator measures what a replica takes"),
    ("net/node/tests/memory.rs", "a counting allocator measures what a record takes"),
    ("net/node/tests/common/live.rs", "a counting allocator measures what a stranger makes a node take"),
];

/// The runtimes' names.
const RUNTIMES: [&str; 2] = ["glommio", "io_uring"];

/// The longest file, and the length that is noted in the output of these tests.
const FILE_LINES_MAX: usize = 700;
const FILE_LINES_NOTED: usize = 500;

/// The longest function outside tests. It only ever sinks.
const FUNCTION_LINES_MAX: usize = 80;

fn is_door(path: &str) -> bool {
    path.starts_with("engine/io/")
}

fn may_be_unsafe(path: &str) -> bool {
    is_door(path) || UNSAFE.iter().any(|(file, _)| *file == path)
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |text: &str| !text.starts_with("//! ");
    none(
        "a file opens with `//!`: what this room is and what it must never do",
        rust()
            .into_iter()
            .filter(|(source, _)| silent(&source.text))
            .map(|(source, _)| source.path)
            .collect(),
    );
}

#[test]
fn unsafe_and_runtimes_stay_behind_the_door_of_engine_io() {
    let mut findings = Vec::new();
    for (source, parts) in rust() {
        let lines: Vec<&str> = parts.code.lines().collect();
        for (line, word) in words(&parts.code) {
            let strays = match word {
                "unsafe" => !may_be_unsafe(&source.path),
                word => {
                    RUNTIMES.contains(&word) && names_a_crate(lines[line - 1], word) && !is_door(&source.path)
                }
            };
            if strays {
                findings.push(format!("{}:{line}: {word}", source.path));
            }
        }
    }
    none("only engine/io names a runtime or holds unsafe", findings);
}

/// A path or an import; a function may be called like a runtime.
fn names_a_crate(line: &str, word: &str) -> bool {
    line.contains(&format!("{word}::")) || line.trim_start().starts_with("use ")
}

#[test]
fn only_the_binary_and_the_floors_pick_a_real_host() {
    const HOSTS: [&str; 3] = ["glommio_host", "GlommioHost", "GlommioMachine"];
    let may = |path: &str| is_door(path) || path.starts_with("net/flumen/") || path.starts_with("bench/src/");
    let mut findings = Vec::new();
    for (source, parts) in rust().into_iter().filter(|(source, _)| !may(&source.path) && !source.is_test()) {
        let found = words(&parts.code).filter(|(_, word)| HOSTS.contains(word));
        findings.extend(found.map(|(line, word)| format!("{}:{line}: {word}", source.path)));
    }
    none("a node is generic over its host", findings);
}

#[test]
fn the_exceptions_for_unsafe_are_still_needed() {
    let sources = rust();
    for (file, reason) in UNSAFE {
        let (_, parts) = sources.iter().find(|(source, _)| source.path == file).expect(file);
        assert!(words(&parts.code).any(|(_, word)| word == "unsafe"), "{file} no longer needs: {reason}");
    }
}

#[test]
fn every_unsafe_says_why_it_is_sound() {
    let mut findings = Vec::new();
    for (source, parts) in rust() {
        let comments: Vec<&str> = parts.comments.lines().collect();
        for (line, _) in words(&parts.code).filter(|(_, word)| *word == "unsafe") {
            let near = &comments[line.saturating_sub(7)..line];
            if !near.iter().any(|comment| comment.contains("SAFETY:") || comment.contains("# Safety")) {
                findings.push(format!("{}:{line}", source.path));
            }
        }
    }
    none("unsafe has a SAFETY comment within six lines above", findings);
}

#[test]
fn every_crate_but_the_door_forbids_unsafe() {
    let root = |path: &str| {
        path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("src/bin/")
    };
    let excused = |path: &str| path == "engine/io/src/lib.rs";
    // A crate with a listed exception denies instead, so that the one file can allow it.
    let denies = |path: &str| path == "bench/src/lib.rs";
    let mut findings = Vec::new();
    for (source, parts) in rust().into_iter().filter(|(source, _)| root(&source.path)) {
        let wanted = if denies(&source.path) { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
        if !excused(&source.path) && !parts.code.contains(wanted) {
            findings.push(format!("{} has no {wanted}", source.path));
        }
    }
    none("unsafe is shut out crate by crate", findings);
}

#[test]
fn nothing_is_left_for_later() {
    let mut findings = Vec::new();
    for (source, parts) in rust() {
        let macros = ["todo", "unimplemented"].map(|name| format!("{name}!"));
        for (at, line) in parts.code.lines().enumerate() {
            if macros.iter().any(|name| line.contains(name)) {
                findings.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
        for (line, word) in words(&parts.comments) {
            if ["FIXME", "XXX", "TODO", "HACK"].contains(&word) {
                findings.push(format!("{}:{line}: {word}", source.path));
            }
        }
    }
    none("finish it, or say in the README what is missing", findings);
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for (source, _) in rust() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{} has {lines} lines", source.path));
        } else if lines > FILE_LINES_NOTED && !source.is_test() {
            println!("note: {} has {lines} lines; one noun is rarely over {FILE_LINES_NOTED}", source.path);
        }
    }
    none(&format!("over {FILE_LINES_MAX} lines"), long);
}

#[test]
fn functions_stay_short() {
    let mut long = Vec::new();
    for (source, parts) in rust().into_iter().filter(|(source, _)| !source.is_test()) {
        let over =
            functions(&without_tests(&parts.code)).into_iter().filter(|it| it.lines > FUNCTION_LINES_MAX);
        long.extend(
            over.map(|it| format!("{}:{}: {} has {} lines", source.path, it.line, it.name, it.lines)),
        );
    }
    none(&format!("over {FUNCTION_LINES_MAX} lines"), long);
}
