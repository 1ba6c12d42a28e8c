//! Reports: one document of a run, as JSON, as a page and as a table. Pure: values in, text out; only
//! [`progress`] touches the terminal. It must never compute a figure: that is measure's.

pub mod document;
pub mod facts;
pub mod html;
pub mod plot;
pub mod progress;
pub mod table;
pub(crate) mod units;

pub use document::{Document, PartReport};
pub use facts::Facts;
