//! What limits and their judgement promise.

use super::*;
use crate::measure::Sample;
use std::time::Duration;

/// One series with a number of bytes a second for each round.
fn series(name: &str, bytes: &[u64]) -> Series {
    let sample = |bytes: &u64| Sample { bytes: *bytes, elapsed: Duration::from_secs(1), ..Sample::default() };
    Series { name: name.into(), about: String::new(), samples: bytes.iter().map(sample).collect() }
}

#[test]
fn a_limit_against_several_bases_takes_the_least_of_each_round() {
    let all = [
        series("part", &[50, 50, 50]),
        series("loopback", &[100, 50, 200]),
        series("disk", &[200, 100, 100]),
    ];
    let limit = Limit::at_least("part", Figure::Bytes, 0.7, &["loopback", "disk"]);
    let claim = limit.judge(&all).unwrap();
    assert_eq!(claim.measured, Spread { min: 0.5, median: 0.5, max: 1.0 });
    assert!(!claim.within());
    assert_eq!(claim.name, "part bytes/s ÷ min(loopback, disk)");
}

#[test]
fn a_scale_lowers_the_base_by_the_measured_amplification() {
    let all = [series("part", &[50]), series("disk", &[200])];
    let limit = Limit { scale: 0.5, ..Limit::at_least("part", Figure::Bytes, 0.5, &["disk"]) };
    assert_eq!(limit.judge(&all).unwrap().measured.median, 0.5);
}

#[test]
fn a_limit_on_a_part_that_did_not_run_claims_nothing() {
    let all = [series("part", &[50])];
    assert!(Limit::at_most("part", Figure::Bytes, 1.0, "floor").judge(&all).is_none());
    assert!(Limit::at_most("ack", Figure::Bytes, 1.0, "part").judge(&all).is_none());
}
