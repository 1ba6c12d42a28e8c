//! What limits and their judgement promise.

use super::*;
use crate::measure::{JournalTurns, Spread, Verdict};
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
    let limit = Limit::at_least("part", Figure::Bytes, 0.7, vec![Base::Part("loopback"), Base::Part("disk")]);
    let claim = limit.judge(&all).unwrap();
    assert_eq!(claim.measured, Spread { min: 0.5, median: 0.5, max: 1.0 });
    assert!(!claim.within());
    assert_eq!(claim.name, "part bytes/s ÷ min(loopback, disk)");
}

#[test]
fn amplification_lowers_the_base_by_what_the_disk_really_wrote() {
    let mut all = [series("part", &[5_000]), series("disk", &[20_000])];
    let account = &mut all[0].samples[0].account;
    (account.wall_us, account.disk_write_bytes) = (2_000_000, 20_000);
    let limit = Limit::at_least("part", Figure::Bytes, 0.5, vec![Base::PartByAmplification("disk")]);
    assert_eq!(limit.judge(&all).unwrap().measured.median, 0.5, "twice its payload in twice its time");
}

#[test]
fn a_limit_without_a_base_is_absolute() {
    let all = [series("part", &[50; 9])];
    let limit = Limit::at_least("part", Figure::Bytes, 50.0, vec![Base::One]);
    let claim = limit.judge(&all).unwrap();
    assert_eq!((claim.verdict, claim.name.as_str()), (Verdict::Holds, "part bytes/s"));
}

#[test]
fn a_limit_kept_over_too_few_journal_turns_does_not_hold() {
    let mut all = [series("part", &[50; 9])];
    all[0]
        .samples
        .iter_mut()
        .for_each(|s| s.journal = Some(JournalTurns { turns: 0.2, ..JournalTurns::default() }));
    let limit = Limit::at_least("part", Figure::Bytes, 50.0, vec![Base::One]);
    assert_eq!(limit.judge(&all).unwrap().verdict, Verdict::EmptyJournal, "1.8 turns in all");
}

#[test]
fn a_limit_on_a_part_that_did_not_run_claims_nothing() {
    let all = [series("part", &[50])];
    assert!(Limit::at_most("part", Figure::Bytes, 1.0, "floor").judge(&all).is_none());
    assert!(Limit::at_most("ack", Figure::Bytes, 1.0, "part").judge(&all).is_none());
}
