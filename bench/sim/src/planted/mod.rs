//! Planted faults: proof that the simulator can fail. Each is a small patch with one mistake that systems of this kind
//! make; it is put into a copy of the sources, built, and run under seeds until a judge speaks. The sources themselves
//! are never touched.
//!
//! - [`patch`] reads a fault and puts it into files; [`scratch`] is the copy and what is built from it.
//! - [`hunt`] runs seeds, in the build that has the fault; [`chase`] is the same seen from outside.
//! - [`table`] shows what came of it.

pub mod chase;
pub mod hunt;
pub mod patch;
pub mod scratch;
pub mod table;
