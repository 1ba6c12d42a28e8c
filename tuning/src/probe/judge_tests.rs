//! What follows from figures, with figures made up for each rule.

use super::*;
use crate::probe::stats::{Bandwidth, Percentiles, Series};
use crate::profile::{DiskFingerprint, Fingerprint, Loopback};

fn series(p50s: &[f64]) -> Series {
    let one = |&p50: &f64| Percentiles {
        samples: 1000,
        per_second: 1e6 / p50,
        p50,
        p90: p50,
        p99: p50,
        p99_9: p50,
        max: p50,
    };
    Series::of(p50s.iter().map(one).collect())
}

fn write(bytes: usize, method: DurableWrite, depth: usize, p50s: &[f64]) -> WriteResult {
    WriteResult { bytes, method, depth, latency: series(p50s) }
}

fn disk(write_cache: &str, fua: bool) -> DiskFingerprint {
    DiskFingerprint {
        name: "nvme0n1".to_owned(),
        model: "M".to_owned(),
        serial: "1".to_owned(),
        sectors: 1,
        write_cache: write_cache.to_owned(),
        fua,
        scheduler: "[none]".to_owned(),
    }
}

fn profile(disk: DiskFingerprint, write: Vec<WriteResult>) -> Profile {
    let fingerprint = Fingerprint {
        kernel: "6.1".to_owned(),
        filesystem: "ext4".to_owned(),
        mount_options: vec!["rw".to_owned()],
        disks: vec![disk],
    };
    let bandwidth = Bandwidth::of(&[1e9]);
    let loopback = Loopback { round_trip: series(&[50.0]), bandwidth: bandwidth.clone() };
    Profile::of_figures(fingerprint, write, (bandwidth.clone(), bandwidth), loopback)
}

fn compared(dsync: f64, flush: f64) -> Vec<WriteResult> {
    vec![
        write(4096, DurableWrite::Dsync, 1, &[dsync, dsync, dsync]),
        write(4096, DurableWrite::Flush, 1, &[flush, flush, flush]),
        // Deeper queues do not decide: a journal has one write in flight.
        write(4096, DurableWrite::Dsync, 16, &[9000.0, 9000.0, 9000.0]),
        write(4096, DurableWrite::Flush, 16, &[1.0, 1.0, 1.0]),
    ]
}

fn concluded(disk: DiskFingerprint, write: Vec<WriteResult>, pressure: Pressure) -> Profile {
    let mut profile = profile(disk, write);
    conclude(&mut profile, pressure);
    profile
}

#[test]
fn flush_is_chosen_only_when_it_is_clearly_faster() {
    let choose = |dsync, flush| {
        let profile = concluded(disk("write back", false), compared(dsync, flush), Pressure::default());
        assert_eq!(profile.quality, Quality::Stable, "{}", profile.quality_reason);
        profile.durable_write()
    };
    assert_eq!(choose(100.0, 100.0), DurableWrite::Dsync, "one operation instead of two");
    assert_eq!(choose(105.0, 100.0), DurableWrite::Dsync, "within the noise");
    assert_eq!(choose(100.0, 150.0), DurableWrite::Dsync);
    assert_eq!(choose(150.0, 100.0), DurableWrite::Flush);
}

#[test]
fn a_disk_that_needs_no_flush_gets_dsync_whatever_was_measured() {
    for disk in [disk("write back", true), disk("write through", false)] {
        let profile = concluded(disk, compared(150.0, 100.0), Pressure::default());
        assert_eq!(profile.durable_write(), DurableWrite::Dsync, "{}", profile.durable_write_reason);
    }
}

#[test]
fn repeats_that_disagree_are_unstable_and_do_not_overrule_the_default() {
    let mut write = compared(150.0, 100.0);
    write[1] = self::write(4096, DurableWrite::Flush, 1, &[50.0, 100.0, 400.0]);
    let profile = concluded(disk("write back", false), write, Pressure::default());
    assert_eq!(profile.quality, Quality::Unstable);
    assert_eq!(profile.durable_write(), DurableWrite::Dsync);
}

#[test]
fn a_busy_machine_makes_even_agreeing_repeats_unstable() {
    let busy = Pressure { cpu: Some(40.0), io: None };
    let profile = concluded(disk("write back", false), compared(100.0, 100.0), busy);
    assert_eq!(profile.quality, Quality::Unstable);
    assert!(profile.quality_reason.contains("processor"), "{}", profile.quality_reason);
    let quiet = Pressure { cpu: Some(0.5), io: Some(0.0) };
    let profile = concluded(disk("write back", false), compared(100.0, 100.0), quiet);
    assert_eq!(profile.quality, Quality::Stable);
}

#[test]
fn no_figures_are_unstable() {
    let profile = concluded(disk("write back", false), Vec::new(), Pressure::default());
    assert_eq!(profile.quality, Quality::Unstable);
    assert_eq!(profile.durable_write(), DurableWrite::Dsync);
}
