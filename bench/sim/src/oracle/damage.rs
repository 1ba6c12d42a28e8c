//! Damage to acked data is reported and never served. A partition that cannot be read to its end must say that it is
//! damaged; then, and only then, may records be missing from there on.

use super::Whole;
use super::part::Part;
use super::promise::{Findings, Promise};

/// What the node says of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// All is well.
    #[default]
    Whole,
    /// It is damaged: by its description, or by the refusal of a read.
    Damaged(String),
    /// It could not be read, and the node did not say that it is damaged.
    Unreadable(String),
}

impl Health {
    /// Whether the node says that it is damaged.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Health::Damaged(_))
    }
}

/// A partition was read as far as it went.
pub(super) fn judge(part: &mut Part, whole: &Whole, findings: &mut Findings) {
    match &whole.health {
        Health::Damaged(_) => part.damaged = true,
        Health::Unreadable(why) => {
            let what =
                format!("{} cannot be read at {}, and is not called damaged: {why}", part.key, whole.read_to);
            findings.report(Promise::DamageReported, what);
        }
        Health::Whole if whole.read_to < whole.high_watermark => {
            let what = format!(
                "{} is called whole and ends at {} below its high watermark {}",
                part.key, whole.read_to, whole.high_watermark
            );
            findings.report(Promise::DamageReported, what);
        }
        Health::Whole => {}
    }
}
