//! What interleaving and medians promise.

use super::*;
use flumen_model::error::{Code, Error};
use std::cell::RefCell;
use std::rc::Rc;

struct Named {
    name: &'static str,
    log: Rc<RefCell<Vec<&'static str>>>,
    fails: bool,
}

impl Part for Named {
    fn name(&self) -> &str {
        self.name
    }
    fn about(&self) -> &str {
        "a part of a test"
    }
    fn run(&mut self, length: Duration) -> Result<Sample> {
        self.log.borrow_mut().push(self.name);
        match self.fails {
            true => Err(Error::new(Code::Closed, "the part ended")),
            false => Ok(Sample { records: 10, bytes: 2560, elapsed: length, ..Sample::default() }),
        }
    }
}

fn parts(log: &Rc<RefCell<Vec<&'static str>>>, fails: bool) -> Vec<Box<dyn Part>> {
    ["a", "b", "c"]
        .into_iter()
        .map(|name| Box::new(Named { name, log: log.clone(), fails: fails && name == "b" }) as Box<dyn Part>)
        .collect()
}

fn series(rounds: &[&[u64]]) -> Series {
    let sample = |us: &&[u64]| {
        let mut sample =
            Sample { records: us.len() as u64, elapsed: Duration::from_secs(1), ..Sample::default() };
        us.iter().for_each(|us| sample.latencies.record(Duration::from_micros(*us)));
        sample
    };
    Series { name: "x".into(), about: String::new(), samples: rounds.iter().map(sample).collect() }
}

#[test]
fn every_round_runs_every_part_and_starts_with_another() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let all = run_rounds(&mut parts(&log, false), 3, Duration::from_secs(1), |_, _| ()).unwrap();
    assert_eq!(*log.borrow(), ["a", "b", "c", "b", "c", "a", "c", "a", "b"]);
    assert_eq!(all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(all.iter().all(|s| s.samples.len() == 3));
    assert_eq!(all[0].figures().bytes_per_s, 2560.0);
}

#[test]
fn a_part_that_fails_ends_the_run_with_its_error() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let error = run_rounds(&mut parts(&log, true), 3, Duration::from_secs(1), |_, _| ()).unwrap_err();
    assert_eq!(error.code, Code::Closed);
    assert_eq!(*log.borrow(), ["a", "b"]);
}

#[test]
fn figures_are_medians_of_rounds_but_the_maximum_is_the_worst() {
    let figures = series(&[&[10], &[12], &[9_000]]).figures();
    assert!((figures.p50_us - 12.0).abs() < 0.1, "{figures:?}");
    assert!((figures.max_us - 9_000.0).abs() < 10.0, "{figures:?}");
    assert_eq!(figures.n, 3);
}

#[test]
fn ratios_are_taken_within_a_round_so_that_a_slow_machine_cancels_out() {
    let result = series(&[&[20], &[200], &[2_000]]);
    let floor = series(&[&[10], &[100], &[1_000]]);
    let ratios = result.ratios(&floor, Figure::P50);
    assert_eq!(ratios.len(), 3);
    assert!(ratios.iter().all(|r| (r - 2.0).abs() < 0.01), "{ratios:?}");
    let all = Ratios::of(&result, &floor, &result);
    assert!((all.floor_p99 - 2.0).abs() < 0.01 && (all.host_floor_p50 - 1.0).abs() < 1e-9, "{all:?}");
}

#[test]
fn a_base_without_latencies_gives_no_ratio_instead_of_infinity() {
    let result = series(&[&[20]]);
    let stream = series(&[&[]]);
    assert!(result.ratios(&stream, Figure::P50).is_empty());
    assert_eq!(Ratios::of(&result, &stream, &stream), Ratios::default());
}

#[test]
fn a_round_that_measured_nothing_does_not_pass_for_a_fast_one() {
    let result = series(&[&[20], &[], &[30]]);
    let floor = series(&[&[10], &[10], &[10]]);
    assert_eq!(result.ratios(&floor, Figure::P50).len(), 2, "and so a claim has a round less");
    assert!((result.figures().p50_us - 25.0).abs() < 0.1);
    assert!(result.spread(Figure::P50).unwrap().min > 0.0);
    assert_eq!(
        result.ratios(&floor, Figure::Records),
        [1.0, 0.0, 1.0],
        "no records are a bad round and count"
    );
}
