//! A short probe of the disk under the temporary directory, and what it refuses.

use super::*;
use crate::profile::Quality;

const SHORT: Effort = Effort { case: Duration::from_millis(1), rounds: 2, file_bytes: 16 << 20 };

/// A directory on this machine's disk, or `None` with a printed line where there is no direct I/O.
fn directory() -> Option<tempfile::TempDir> {
    let directory = tempfile::tempdir().unwrap();
    match Target::create(directory.path(), 1 << 20) {
        Ok(_) => Some(directory),
        Err(error) => {
            println!("skipped: no direct I/O in {}: {error}", directory.path().display());
            None
        }
    }
}

#[test]
fn a_probe_measures_every_case_in_every_round_and_leaves_no_file() {
    let Some(directory) = directory() else { return };
    let mut steps = 0;
    let profile = probe(directory.path(), SHORT, &mut |_| steps += 1).unwrap();
    assert_eq!(steps, SHORT.steps());
    assert_eq!(profile.write.len(), SIZES.len() * DEPTHS.len() * 2);
    for result in &profile.write {
        assert_eq!(result.latency.repeats.len(), SHORT.rounds);
        let median = &result.latency.median;
        assert!(median.samples >= 20 * result.depth as u64, "{result:?}");
        assert!(0.0 < median.p50 && median.p50 <= median.p99 && median.p99 <= median.max, "{result:?}");
    }
    assert!(profile.sequential_read.mib_per_second > 0.0);
    assert!(profile.sequential_write.mib_per_second > 0.0);
    assert!(profile.loopback.round_trip.median.p50 > 0.0);
    assert!(profile.loopback.bandwidth.mib_per_second > 0.0);
    assert!(!profile.quality_reason.is_empty() && !profile.durable_write_reason.is_empty());
    if profile.quality == Quality::Unstable {
        assert_eq!(profile.durable_write(), DurableWrite::Dsync);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the file has no name");
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let lock = File::create(directory.path().join(LOCK_FILE)).unwrap();
    lock.lock().unwrap();
    let error = probe(directory.path(), SHORT, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("a node is running"), "{error}");
}

#[test]
fn a_directory_that_is_not_there_is_an_error_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    assert!(probe(&directory.path().join("none"), SHORT, &mut |_| {}).is_err());
}

#[test]
fn a_disk_without_room_is_refused_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let error = probe(directory.path(), Effort { file_bytes: 1 << 60, ..SHORT }, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
}

#[test]
fn the_file_is_filled_with_data_that_does_not_compress() {
    let Some(directory) = directory() else { return };
    let target = Target::create(directory.path(), 2 << 20).unwrap();
    let mut buffer = buffer::Buffer::noise(1 << 20, 1);
    let mut seen = std::collections::BTreeSet::new();
    for position in [0, 1 << 20] {
        std::os::unix::fs::FileExt::read_exact_at(&target.plain, buffer.as_mut_slice(), position).unwrap();
        for word in buffer.as_slice().chunks_exact(8) {
            seen.insert(word.to_vec());
        }
    }
    assert_eq!(seen.len(), 2 << 17, "every eight bytes differ");
}
