//! The rules of the house, as tests: arrows between crates only run down, rights stay in their rooms, every file
//! says what it is. Here are the pure checkers, each over plain values; `tests/house` shows them the real tree.
//! Nothing depends on this crate, and it changes nothing.
#![forbid(unsafe_code)]

pub mod rust_text;
pub mod storeys;
pub mod tree;
