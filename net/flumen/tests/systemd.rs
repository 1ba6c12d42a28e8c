//! The packaging: the unit is accepted and rated by systemd where that is installed, says what the node needs, and
//! the sample configuration is the one that the binary makes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
// A test reaches the machine that it runs on.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The worst exposure that is accepted, in tenths; a unit without any hardening has 94.
const EXPOSURE_TENTHS_MAX: &str = "20";

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd").join(name)
}

fn unit() -> String {
    fs::read_to_string(packaging("flumen.service")).unwrap()
}

fn flumen(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flumen")).args(args).output().unwrap()
}

/// Runs `systemd-analyze`, or prints that it is not there.
fn analyze(args: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: systemd-analyze cannot be run: {error}");
            None
        }
    }
}

/// The unit with this build's binary, in a directory of its own.
fn installed() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flumen.service");
    let text = unit().replace("/usr/local/bin/flumen", env!("CARGO_BIN_EXE_flumen"));
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn systemd_accepts_the_unit_without_a_word() {
    let (_directory, path) = installed();
    let Some(output) = analyze(&["verify", "--man=no", path.to_str().unwrap()]) else { return };
    let said = said(&output);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("flumen")).collect();
    assert!(output.status.success() && about_it.is_empty(), "{said}");
}

#[test]
fn systemd_rates_the_unit_as_well_hardened() {
    let (_directory, path) = installed();
    let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
    let args = ["security", "--offline=yes", "--no-pager", &threshold, path.to_str().unwrap()];
    let Some(output) = analyze(&args) else { return };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_unit_takes_nothing_away_that_a_node_needs() {
    let unit = unit();
    let lines: Vec<&str> = unit.lines().filter(|line| !line.starts_with('#')).collect();
    let value = |key: &str| {
        lines
            .iter()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no {key}="))
    };
    for removed in lines.iter().filter(|line| line.starts_with("SystemCallFilter=~")) {
        for needed in ["@aio", "@resources", "@memlock", "@network-io", "@file-system"] {
            assert!(!removed.contains(needed), "{removed}");
        }
    }
    for forbidden in ["PrivateUsers", "ProcSubset", "PrivateNetwork", "DynamicUser"] {
        assert!(!lines.iter().any(|line| line.starts_with(forbidden)), "{forbidden}");
    }
    assert_eq!(value("Type"), "notify");
    assert_eq!(value("NotifyAccess"), "main");
    assert_eq!(value("LimitMEMLOCK"), "infinity");
    assert_eq!(value("AmbientCapabilities"), "CAP_IPC_LOCK");
    assert_eq!(value("CapabilityBoundingSet"), "CAP_IPC_LOCK");
    assert_eq!(value("RestrictAddressFamilies"), "AF_INET AF_INET6 AF_UNIX");
    assert!(value("WatchdogSec").parse::<u32>().unwrap() > 0);
    assert!(value("StateDirectory").split(' ').any(|name| name == "flumen"));
}

#[test]
fn codes_that_a_restart_cannot_mend_are_not_restarted() {
    let unit = unit();
    let codes = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    assert_eq!(codes, "64 65 76 78");
    let help = said(&flumen(&["--help"]));
    for code in codes.split(' ') {
        assert!(help.contains(&format!("  {code}  ")), "{code} is not in --help");
    }
}

#[test]
fn the_unit_starts_the_binary_with_flags_that_it_knows() {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let line = line.replace("$FLUMEN_FLAGS", "--require-existing");
    let args: Vec<&str> = line.split(' ').skip(1).collect();
    assert_eq!(args[0], "start");
    // `config` takes the flags of `start` and starts nothing.
    let sample = packaging("flumen.toml");
    let args: Vec<&str> = std::iter::once("config")
        .chain(args[1..].iter().map(|arg| match *arg {
            "/etc/flumen/flumen.toml" => sample.to_str().unwrap(),
            other => other,
        }))
        .collect();
    let output = flumen(&args);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("require_existing = true"), "{}", said(&output));
}

#[test]
fn the_sample_configuration_is_the_one_that_the_binary_makes() {
    let made = flumen(&["config", "--sample"]);
    assert!(made.status.success());
    let shipped = fs::read_to_string(packaging("flumen.toml")).unwrap();
    assert!(shipped == String::from_utf8_lossy(&made.stdout), "flumen config --sample > systemd/flumen.toml");
}

#[test]
fn the_sample_configuration_is_the_defaults() {
    let sample = packaging("flumen.toml");
    let with = flumen(&["config", "--json", "--config", sample.to_str().unwrap()]);
    let without = flumen(&["config", "--json"]);
    assert!(with.status.success() && without.status.success());
    assert_eq!(said(&with), said(&without));
}

#[test]
fn the_user_of_the_unit_is_made_by_the_packaging() {
    let unit = unit();
    let user = unit.lines().find_map(|line| line.strip_prefix("User=")).unwrap();
    let users = fs::read_to_string(packaging("flumen.sysusers.conf")).unwrap();
    assert!(users.lines().any(|line| line.starts_with(&format!("u {user} "))), "{users}");
    let files = fs::read_to_string(packaging("flumen.tmpfiles.conf")).unwrap();
    assert!(files.contains(&format!("d /etc/flumen 0750 root {user} ")), "{files}");
}

#[test]
fn a_wrong_configuration_ends_with_78_and_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flumen.toml");
    fs::write(&path, "native = \"0.0.0.0:9644\"\n").unwrap();
    for verb in ["start", "config"] {
        let output = flumen(&[verb, "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78), "{verb}");
        let said = said(&output);
        assert!(said.starts_with("error: ") && said.contains("--insecure"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let output = flumen(&["config", "--config", directory.path().join("none").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    for args in [&["no-such-verb"][..], &["topic"], &["consume"], &["start", "--no-such-flag"]] {
        assert_eq!(flumen(args).status.code(), Some(64), "{args:?}");
    }
    assert_eq!(flumen(&["--help"]).status.code(), Some(0));
    assert_eq!(flumen(&["--version"]).status.code(), Some(0));
}

#[test]
fn tune_check_answers_json_and_ends_with_its_own_codes() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().to_str().unwrap();
    let output = flumen(&["--json", "tune", "check", "--data", at]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], 1);
}
