//! What other programs may rely on in the JSON document.

use super::*;
use crate::measure::{Claim, Sample, Sense};
use std::time::Duration;

/// A run of nine rounds: a floor of about 100 µs, a host's of 150, a pipelined one.
pub(crate) fn example() -> Document {
    let series = [
        part("write_4k", 70.0, 1),
        part("floor", 100.0, 1),
        part("host_floor", 150.0, 1),
        part("host_floor_pipelined", 420.0, 256),
    ];
    let mut document = Document::of("floor", &series, "host_floor", "floor", "host_floor");
    let ratios = series[2].ratios(&series[1], Figure::P50);
    document.claims.push(Claim::judge("host_floor p50 ÷ floor", "host_floor", Sense::AtMost, 1.3, &ratios));
    document.claims.push(Claim::judge(
        "host_floor p50 ÷ floor",
        "host_floor",
        Sense::AtMost,
        2.0,
        &ratios[..3],
    ));
    document.claims.push(Claim::judge(
        "host_floor_pipelined records/s ÷ floor",
        "host_floor_pipelined",
        Sense::AtLeast,
        1.5,
        &[2.0; 9],
    ));
    document.host = "glommio".into();
    document.durability = "O_DIRECT + O_DSYNC <\"&'>".into();
    document.started = utc(1_795_680_000_000);
    document
}

/// Latencies of a long-tailed shape around `us`, a little slower each round.
fn part(name: &str, us: f64, in_flight: u64) -> Series {
    let sample = |round: u64| {
        let mut sample = Sample { elapsed: Duration::from_secs(1), ..Sample::default() };
        for n in 1..=4_000u64 {
            let tail = 4_000.0 / n as f64;
            let latency =
                us * (0.9 + round as f64 / 40.0) * (1.0 + tail.ln() * 0.08 + (tail / 900.0).powi(2));
            sample.latencies.record(Duration::from_nanos((latency * 1000.0) as u64));
        }
        sample.records = 4_000 * in_flight;
        sample.bytes = sample.records * 256;
        sample.timeline = (0..20).map(|at| 200 * in_flight - (at * 7 + round * 5) % 31).collect();
        sample
    };
    Series { name: name.into(), about: format!("about {name}"), samples: (0..9).map(sample).collect() }
}

#[test]
fn the_json_has_every_promised_field() {
    let json: serde_json::Value = serde_json::from_str(&example().json()).unwrap();
    for field in ["bench", "host", "durability", "rounds", "result", "floor", "host_floor", "ratio"] {
        assert!(!json[field].is_null(), "{field}");
    }
    for part in ["result", "floor", "host_floor"] {
        for figure in ["p50_us", "p99_us", "p999_us", "max_us", "records_per_s", "bytes_per_s"] {
            assert!(json[part][figure].as_f64().unwrap() > 0.0, "{part}.{figure}");
        }
    }
    for ratio in ["floor_p50", "floor_p99", "floor_p999", "host_floor_p50", "host_floor_p99"] {
        assert!(json["ratio"][ratio].as_f64().unwrap() > 0.0, "{ratio}");
    }
    assert!((json["ratio"]["floor_p50"].as_f64().unwrap() - 1.5).abs() < 0.01);
    assert_eq!(json["rounds"], 9);
}

#[test]
fn a_document_comes_back_from_its_json() {
    let document = example();
    assert_eq!(serde_json::from_str::<Document>(&document.json()).unwrap(), document);
}

#[test]
fn a_missed_claim_fails_the_run_but_a_hint_does_not() {
    let mut document = example();
    assert!(!document.claims_hold());
    document.claims.remove(0);
    assert!(document.claims_hold());
}

#[test]
fn a_part_that_did_not_run_gives_zeros_and_no_ratio() {
    let document = Document::of("ack", &[part("ack", 200.0, 1)], "ack", "floor", "host_floor");
    assert_eq!(document.floor, Figures::default());
    assert_eq!(document.ratio, Ratios::default());
}

#[test]
fn moments_are_read_as_dates() {
    assert_eq!(utc(0), "1970-01-01T00:00:00Z");
    assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00Z");
    assert_eq!(utc(1_795_680_061_999), "2026-11-26T08:01:01Z");
    assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
}
