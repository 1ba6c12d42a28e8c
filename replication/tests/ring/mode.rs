//! What a run is like: the modes by name, and the temper that each seed draws within its mode. Rare faults need
//! modes of their own: crashes five times as often, one voter, many voters, many steps.

use crate::common::Chance;

/// One kind of run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) voters_first: u64,
    pub(crate) voters_min: usize,
    pub(crate) voters_max: usize,
    /// A crash of a replica in so many steps.
    pub(crate) crash_one_in: usize,
    pub(crate) steps: usize,
}

const fn mode(
    name: &'static str,
    about: &'static str,
    voters: (u64, usize, usize),
    crash_one_in: usize,
    steps: usize,
) -> Mode {
    let (voters_first, voters_min, voters_max) = voters;
    Mode { name, about, voters_first, voters_min, voters_max, crash_one_in, steps }
}

/// All modes. Seeds take them by turns.
pub(crate) const MODES: &[Mode] = &[
    mode("normal", "3 to 5 voters", (3, 3, 5), 1_250, 800),
    mode("solo", "1 to 3 voters", (1, 1, 3), 1_250, 800),
    mode("hot", "3 to 5 voters, five times the crashes", (3, 3, 5), 250, 800),
    mode("hot-solo", "1 to 3 voters, five times the crashes", (1, 1, 3), 250, 800),
    mode("wide", "3 to 7 voters", (5, 3, 7), 1_250, 600),
    mode("hot-wide", "1 to 7 voters, five times the crashes", (5, 1, 7), 250, 600),
    mode("pair", "1 to 2 voters, five times the crashes", (2, 1, 2), 250, 800),
    mode("long", "1 to 5 voters, many steps", (3, 1, 5), 800, 3_000),
];

impl Mode {
    /// The mode that a seed takes.
    pub(crate) fn of(seed: u64) -> &'static Mode {
        &MODES[(seed % MODES.len() as u64) as usize]
    }

    /// The mode of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Mode> {
        MODES.iter().find(|mode| mode.name == name)
    }
}

/// How often each thing happens in one run: one in so many.
#[derive(Clone, Debug)]
pub(crate) struct Temper {
    pub(crate) tick_lost: usize,
    pub(crate) sync: usize,
    pub(crate) sync_groups: usize,
    pub(crate) syncs_together: bool,
    /// Replicas of this rest have a slow disk, if any.
    pub(crate) slow_disk: Option<u64>,
    pub(crate) deliveries: usize,
    pub(crate) lose: usize,
    pub(crate) repeat: usize,
    pub(crate) stray: usize,
    pub(crate) cut: usize,
    pub(crate) mend: usize,
    /// A link stalls: its messages come late and together.
    pub(crate) link_stall: usize,
    /// A replica's words reach nobody, or nobody's words reach it.
    pub(crate) island: usize,
    pub(crate) island_span: usize,
    /// A candidate is cut off as soon as it stands.
    pub(crate) candidates_lost: usize,
    pub(crate) stall: usize,
    pub(crate) writes: usize,
    pub(crate) staffing: usize,
    /// A joint configuration is left when asked so often.
    pub(crate) leave: usize,
    pub(crate) transfer: usize,
    pub(crate) campaign: usize,
    pub(crate) checkpoint: usize,
    /// A cut leaves fewer entries than this before the applied mark.
    pub(crate) behind: usize,
    pub(crate) wipe: usize,
    pub(crate) boot: usize,
    /// A crash right after something rare.
    pub(crate) spark: usize,
    /// A crash of all at once, of so many crashes.
    pub(crate) everybody: usize,
    /// Calls come together: of three steps, so many without haste.
    pub(crate) leisure: usize,
    pub(crate) applies_late: bool,
    pub(crate) reads_late: bool,
    /// All stand for election at the same time.
    pub(crate) rivals: bool,
}

impl Temper {
    /// A seed's own.
    pub(crate) fn drawn(chance: &mut Chance, mode: &Mode) -> Temper {
        let hot = mode.crash_one_in < 500;
        let mut one = |of: &[usize]| of[chance.below(of.len())];
        Temper {
            tick_lost: one(&[20, 20, 3]),
            sync: one(&[1, 2, 2, 6]),
            sync_groups: one(&[1, 3, 3, 9]),
            syncs_together: one(&[0, 1]) == 1,
            slow_disk: [None, Some(0), Some(1), Some(2)][one(&[0, 0, 1, 2, 3])],
            deliveries: one(&[8, 30, 30, 80]),
            lose: one(&[1_000, 25, 25, 6]),
            repeat: one(&[30, 30, 8, 1_000]),
            stray: one(&[100, 1_000]),
            cut: one(&[80, 80, 20, 1_000]),
            mend: one(&[100, 40, 15]),
            link_stall: one(&[30, 15, 4]),
            island: one(&[300, 100, 40, 1_000]),
            island_span: one(&[40, 100, 300]),
            candidates_lost: one(&[5, 20, 100]),
            stall: one(&[300, 60]),
            writes: one(&[4, 4, 2, 12]),
            staffing: one(&[4, 4, 2, 15]),
            leave: one(&[1, 2, 4]),
            transfer: one(&[60, 60, 15]),
            campaign: one(&[400, 60, 15]),
            checkpoint: one(&[12, 12, 40, 4]),
            behind: one(&[10, 200, 1_000]),
            wipe: one(&[2_000, 2_000, 300]),
            boot: one(&[8, 4, 2, 20]),
            spark: one(if hot { &[3, 8, 30] } else { &[40, 1_000] }),
            everybody: one(&[4, 20, 20]),
            leisure: one(&[0, 1, 2, 2]),
            applies_late: one(&[0, 0, 1]) == 1,
            reads_late: one(&[0, 1]) == 1,
            rivals: one(&[0, 0, 1]) == 1,
        }
    }
}
