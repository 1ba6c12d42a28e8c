//! What this machine is and what it can do. `tune check` reads, judges and says what to do by hand; `tune probe`
//! measures the disk and loopback and keeps the figures as a profile. Neither ever changes a setting.
#![forbid(unsafe_code)]

mod args;
mod check;
mod device;
mod item;
mod probe;
mod profile;
mod root;
mod run;
mod table;

pub use args::{CheckArgs, ProbeArgs, TuneArgs, TuneCommand};
pub use check::{Space, check};
pub use item::{Item, Report, SCHEMA, Verdict};
pub use probe::stats::{Bandwidth, Percentiles, Samples, Series};
pub use probe::{Effort, probe};
pub use profile::{
    DiskFingerprint, DurableWrite, FILE_NAME, Fingerprint, Loopback, Profile, Quality, UNSTABLE_FILE_NAME,
    WriteResult, load_profile, load_profile_file, save_profile,
};
pub use root::{Fact, Root};
pub use run::run;
pub use table::render;
