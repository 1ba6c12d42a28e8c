//! The native protocol: frames, and what is in them. Bytes in, values out, and back; `FORMAT.md` beside this crate
//! is its document. Never a socket, a clock or a decision: who may do what is the listener's business. No length
//! field of a stranger decides how much is allocated.
#![forbid(unsafe_code)]

mod fetch;
mod fields;
pub mod frame;
#[doc(hidden)]
pub mod fuzz_targets;
mod hello;
mod inspect;
mod kind;
mod message;
mod metadata;
mod opening;
mod positions;
mod produce;
mod reply;
mod subscribe;
mod topics;

pub use fetch::*;
pub use frame::{FRAME_HEADER_BYTES, FrameHeader, Next};
pub use hello::*;
pub use inspect::*;
pub use kind::{AnsweredBy, AnyRequest, Flow, FrameKind, KINDS, KindRow, Role};
pub use message::{Body, Empty, Request, encode_request};
pub use metadata::*;
pub use opening::{Opening, PREFACE, encode_opening, read_opening};
pub use positions::*;
pub use produce::*;
pub use reply::{decode_reply, encode_error, encode_reply};
pub use subscribe::*;
pub use topics::*;
