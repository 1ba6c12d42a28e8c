//! Floors, loads and reports.
