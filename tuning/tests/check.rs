//! `tune check` against whole trees of `/proc` and `/sys`, one a machine, with golden text. After a change that is
//! meant, run with `BLESS=1` and read the difference.
#![allow(clippy::unwrap_used)]

use flumen_tuning::{Root, Space, Verdict, check, render};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const ENOUGH: Space = Space { free: 500 << 30, total: 1000 << 30 };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Unpacks a tree: `path = text` with `\n` and `\t`, `path -> link`, `#` for notes.
fn unpack(name: &str) -> (tempfile::TempDir, Root) {
    let directory = tempfile::tempdir().unwrap();
    for line in fs::read_to_string(fixture(&format!("{name}.tree"))).unwrap().lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let (path, text, link) = match (line.split_once(" -> "), line.split_once(" = ")) {
            (Some((path, target)), None) => (path, target, true),
            (None, Some((path, text))) => (path, text, false),
            other => panic!("a line of {name} is neither a file nor a link: {line:?} {other:?}"),
        };
        let place = directory.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        if link {
            symlink(text, place).unwrap();
        } else {
            fs::write(place, text.replace("\\n", "\n").replace("\\t", "\t") + "\n").unwrap();
        }
    }
    let root = Root::at(directory.path());
    (directory, root)
}

fn golden(name: &str, text: &str) {
    let path = fixture(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == text, "{} differs; now it is:\n{text}", path.display());
}

fn machine(name: &str, space: Option<Space>) -> flumen_tuning::Report {
    let (_directory, root) = unpack(name);
    check(&root, Path::new("/var/lib/flumen"), space)
}

#[test]
fn a_small_virtual_machine_reads_as_it_did() {
    let report = machine("vm", Some(Space { free: 9 << 30, total: 20 << 30 }));
    assert_eq!(report.exit_code(false), 0);
    assert_eq!(report.exit_code(true), 1);
    golden("vm.txt", &render(&report, false));
}

#[test]
fn a_well_set_server_has_no_failure_and_warns_of_its_memory_nodes_alone() {
    let report = machine("server", Some(ENOUGH));
    let warned: Vec<&str> =
        report.items.iter().filter(|i| i.verdict == Verdict::Warn).map(|i| i.id.as_str()).collect();
    assert_eq!(warned, ["cpu.numa"]);
    assert_eq!(report.devices, ["nvme1n1"]);
    golden("server.txt", &render(&report, false));
}

#[test]
fn a_stack_of_devices_is_followed_to_its_leaves_and_every_fault_is_named() {
    let report = machine("stack", Some(Space { free: 1 << 30, total: 20 << 30 }));
    assert_eq!(report.devices, ["nvme0n1", "sda"]);
    assert_eq!(report.exit_code(false), 3);
    for id in ["kernel.io_uring", "limit.memlock", "limit.nofile", "fs.barriers", "fs.space"] {
        assert_eq!(report.item(id).unwrap().verdict, Verdict::Fail, "{id}");
    }
    golden("stack.txt", &render(&report, false));
}

#[test]
fn a_machine_that_shows_nothing_is_unknown_and_memory_is_refused_as_a_disk() {
    let report = machine("memory", None);
    assert_eq!(report.item("fs.type").unwrap().verdict, Verdict::Fail);
    assert_eq!(report.item("fs.space").unwrap().verdict, Verdict::Unknown);
    assert!(report.devices.is_empty());
    golden("memory.txt", &render(&report, false));
}

#[test]
fn the_json_has_its_schema_and_its_fields() {
    let report = machine("vm", Some(ENOUGH));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["devices"][0], "vda");
    let item = json["items"].as_array().unwrap().iter().find(|i| i["id"] == "disk.scheduler:vda").unwrap();
    let mut fields: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["id", "now", "remedy", "title", "verdict", "wanted", "why"]);
    assert_eq!(item["verdict"], "warn");
    assert_eq!(item["now"], "mq-deadline");
}

#[test]
fn every_finding_that_is_wrong_says_what_to_do() {
    for name in ["vm", "server", "stack", "memory"] {
        for item in machine(name, Some(ENOUGH)).items {
            assert!(!item.why.is_empty() && !item.wanted.is_empty(), "{}", item.id);
            if matches!(item.verdict, Verdict::Warn | Verdict::Fail) {
                assert!(!item.remedy.is_empty(), "{} has no remedy", item.id);
            }
        }
    }
}

#[test]
fn ids_are_unique() {
    let report = machine("stack", Some(ENOUGH));
    let mut ids: Vec<&str> = report.items.iter().map(|item| item.id.as_str()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn an_empty_tree_never_panics_and_fails_nothing_by_guessing() {
    let directory = tempfile::tempdir().unwrap();
    let report = check(&Root::at(directory.path()), Path::new("/var/lib/flumen"), None);
    assert_eq!(report.count(Verdict::Fail), 0, "{}", render(&report, false));
}

#[test]
fn io_uring_for_a_group_is_fine_for_its_members_only() {
    for (groups, verdict) in [("1000 995", Verdict::Ok), ("1000", Verdict::Fail)] {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let place = directory.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        };
        write("proc/sys/kernel/io_uring_disabled", "1");
        write("proc/sys/kernel/io_uring_group", "995");
        write("proc/self/status", &format!("Gid:\t1000\t1000\t1000\t1000\nGroups:\t{groups}\nCapEff:\t0\n"));
        let report = check(&Root::at(directory.path()), Path::new("/"), None);
        assert_eq!(report.item("kernel.io_uring").unwrap().verdict, verdict, "{groups}");
    }
}

#[test]
fn the_machine_itself_can_be_checked() {
    let directory = std::env::temp_dir();
    let report = check(&Root::system(), &directory, Space::of(&directory).ok());
    assert!(report.item("kernel.version").is_some());
    assert_ne!(report.item("fs.type").unwrap().now, "");
}
