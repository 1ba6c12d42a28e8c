//! One finding of `tune check`, and the report of all of them. Values only: the readers stand in `check`, the
//! terminal's table in `table`.

use serde::Serialize;

/// The version of the JSON that [`Report`] becomes. Fields are added freely; a change of meaning or a removal
/// raises it.
pub const SCHEMA: u32 = 1;

/// What one finding says about this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As wanted.
    Ok,
    /// Works, at a cost that the finding names.
    Warn,
    /// A node will not run here, or its promises do not hold.
    Fail,
    /// This machine has no such thing.
    Absent,
    /// It is there, and cannot be told from here.
    Unknown,
    /// Somebody else (kernel, hypervisor) manages it; nothing to set here.
    Managed,
}

impl Verdict {
    /// All verdicts, in the order in which a summary names them.
    pub const ALL: [Verdict; 6] =
        [Verdict::Ok, Verdict::Warn, Verdict::Fail, Verdict::Absent, Verdict::Unknown, Verdict::Managed];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
            Verdict::Absent => "absent",
            Verdict::Unknown => "unknown",
            Verdict::Managed => "managed",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// A stable name: `disk.scheduler:vda`. What stands behind a colon is the device.
    pub id: String,
    /// What it is, for a person.
    pub title: &'static str,
    /// What was found.
    pub now: String,
    /// What would be best.
    pub wanted: String,
    /// What that means.
    pub verdict: Verdict,
    /// Why it matters, in one sentence.
    pub why: &'static str,
    /// What to do by hand; empty when there is nothing to do.
    pub remedy: String,
}

impl Item {
    /// A finding that is as wanted, until [`Item::verdict`] says otherwise.
    pub fn new(
        id: impl Into<String>,
        title: &'static str,
        wanted: impl Into<String>,
        why: &'static str,
    ) -> Item {
        Item {
            id: id.into(),
            title,
            now: String::new(),
            wanted: wanted.into(),
            verdict: Verdict::Ok,
            why,
            remedy: String::new(),
        }
    }

    /// What was found.
    pub fn now(mut self, now: impl Into<String>) -> Item {
        self.now = now.into();
        self
    }

    /// What it means.
    pub fn verdict(mut self, verdict: Verdict) -> Item {
        self.verdict = verdict;
        self
    }

    /// What to do by hand.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Item {
        self.remedy = remedy.into();
        self
    }

    /// `verdict` and `remedy` when `wrong`, else as wanted.
    pub fn unless(self, fine: bool, verdict: Verdict, remedy: impl Into<String>) -> Item {
        if fine { self } else { self.verdict(verdict).remedy(remedy) }
    }

    /// This machine has no such thing.
    pub fn absent(self) -> Item {
        self.now("not here").verdict(Verdict::Absent)
    }

    /// It cannot be told from here.
    pub fn unknown(self, now: impl Into<String>) -> Item {
        self.now(now).verdict(Verdict::Unknown)
    }
}

/// All findings about one machine and one data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of this program.
    pub version: &'static str,
    /// The data directory asked about.
    pub data: String,
    /// The disks that it lies on, leaf by leaf.
    pub devices: Vec<String>,
    /// The findings.
    pub items: Vec<Item>,
}

impl Report {
    /// How many findings have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.items.iter().filter(|item| item.verdict == verdict).count()
    }

    /// The exit code of `tune check`: 3 with any failure, 1 with a warning when `strict`, else 0.
    pub fn exit_code(&self, strict: bool) -> u8 {
        if self.count(Verdict::Fail) > 0 {
            3
        } else if strict && self.count(Verdict::Warn) > 0 {
            1
        } else {
            0
        }
    }

    /// The finding of this id.
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[Verdict]) -> Report {
        let items = verdicts.iter().map(|&v| Item::new("x", "x", "", "").verdict(v)).collect();
        Report { schema: SCHEMA, version: "0", data: String::new(), devices: Vec::new(), items }
    }

    #[test]
    fn exit_code_is_3_for_a_failure_and_1_for_a_warning_only_when_strict() {
        use Verdict::*;
        assert_eq!(report(&[Ok, Absent, Unknown, Managed]).exit_code(true), 0);
        assert_eq!(report(&[Ok, Warn]).exit_code(false), 0);
        assert_eq!(report(&[Ok, Warn]).exit_code(true), 1);
        assert_eq!(report(&[Warn, Fail]).exit_code(true), 3);
        assert_eq!(report(&[Warn, Fail]).exit_code(false), 3);
    }
}
