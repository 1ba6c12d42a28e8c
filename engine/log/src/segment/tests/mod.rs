//! Tests of the segments on the simulated machine. Each name states a guarantee.

mod bytes_on_disk;
mod damage;
mod handle;
mod model;
mod recorder;
mod repair;
mod support;
mod upkeep;
