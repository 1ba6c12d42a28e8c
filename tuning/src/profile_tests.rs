//! The profile as a file: whole, foreign, damaged, and never made worse.

use super::*;
use crate::probe::stats::Percentiles;
use proptest::prelude::*;

fn profile(quality: Quality, p50: f64) -> Profile {
    let figures = Percentiles { samples: 9, per_second: 1.5, p50, p90: 2.0, p99: 3.0, p99_9: 4.0, max: 5.0 };
    let series = Series::of(vec![figures, figures, figures]);
    let bandwidth = Bandwidth::of(&[1e9, 2e9, 3e9]);
    let disk = DiskFingerprint {
        name: "nvme0n1".to_owned(),
        model: "A \"model\"".to_owned(),
        serial: "eui.1".to_owned(),
        sectors: 1 << 31,
        write_cache: "write back".to_owned(),
        fua: true,
        scheduler: "[none] mq-deadline".to_owned(),
    };
    let fingerprint = Fingerprint {
        kernel: "6.1.0".to_owned(),
        filesystem: "ext4".to_owned(),
        mount_options: vec!["relatime".to_owned(), "rw".to_owned()],
        disks: vec![disk],
    };
    let write = DurableWrite::ALL
        .map(|method| WriteResult { bytes: 4096, method, depth: 1, latency: series.clone() })
        .to_vec();
    let loopback = Loopback { round_trip: series, bandwidth: bandwidth.clone() };
    let mut profile = Profile::of_figures(fingerprint, write, (bandwidth.clone(), bandwidth), loopback);
    profile.quality = quality;
    profile.set_durable_write(DurableWrite::Flush, "because".to_owned());
    profile
}

#[test]
fn a_saved_profile_comes_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    let saved = profile(Quality::Stable, 61.5);
    let path = save_profile(directory.path(), &saved).unwrap();
    assert_eq!(path, directory.path().join(FILE_NAME));
    let loaded = load_profile(directory.path()).unwrap();
    assert_eq!(loaded, saved);
    assert_eq!(loaded.durable_write(), DurableWrite::Flush);
}

#[test]
fn an_unstable_result_does_not_replace_a_stable_one() {
    let directory = tempfile::tempdir().unwrap();
    save_profile(directory.path(), &profile(Quality::Stable, 60.0)).unwrap();
    let path = save_profile(directory.path(), &profile(Quality::Unstable, 4000.0)).unwrap();
    assert_eq!(path, directory.path().join(UNSTABLE_FILE_NAME));
    assert_eq!(load_profile(directory.path()).unwrap(), profile(Quality::Stable, 60.0));
}

#[test]
fn a_newer_result_replaces_one_that_is_no_better() {
    let directory = tempfile::tempdir().unwrap();
    for (quality, p50) in
        [(Quality::Unstable, 1.0), (Quality::Unstable, 2.0), (Quality::Stable, 3.0), (Quality::Stable, 4.0)]
    {
        save_profile(directory.path(), &profile(quality, p50)).unwrap();
        assert_eq!(load_profile(directory.path()).unwrap(), profile(quality, p50));
    }
}

#[test]
fn a_missing_broken_or_foreign_profile_is_none() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(load_profile(directory.path()), None);
    let text = toml::to_string(&profile(Quality::Stable, 60.0)).unwrap();
    assert!(parse(&text).is_some());
    assert_eq!(parse(&text.replace("format = 1", "format = 2")), None);
    assert_eq!(parse(&text[..text.len() / 2]), None);
    assert_eq!(parse(""), None);
}

#[test]
fn a_profile_of_another_device_filesystem_or_kernel_is_told() {
    let measured = profile(Quality::Stable, 60.0);
    let same = measured.fingerprint.clone();
    assert_eq!(measured.mismatch(&same), None);

    let mut other = same.clone();
    other.disks[0].name = "sda".to_owned();
    assert_eq!(measured.mismatch(&other).unwrap(), "measured with disks nvme0n1, now sda");
    let mut other = same.clone();
    other.disks[0].serial = "eui.2".to_owned();
    assert!(measured.mismatch(&other).unwrap().contains("identity of nvme0n1"));
    let mut other = same.clone();
    other.filesystem = "xfs".to_owned();
    assert_eq!(measured.mismatch(&other).unwrap(), "measured with filesystem ext4, now xfs");
    let mut other = same.clone();
    other.mount_options.push("discard".to_owned());
    assert!(measured.mismatch(&other).unwrap().contains("mount options"));
    let mut other = same;
    other.kernel = "6.2.0".to_owned();
    assert_eq!(measured.mismatch(&other).unwrap(), "measured with kernel 6.1.0, now 6.2.0");
}

proptest! {
    #[test]
    fn a_damaged_profile_never_panics(at in 0usize..4000, byte in any::<u8>()) {
        let mut text = toml::to_string(&profile(Quality::Stable, 60.0)).unwrap().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let _ = parse(&String::from_utf8_lossy(&text));
    }
}
