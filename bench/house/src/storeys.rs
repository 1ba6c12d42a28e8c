//! Who may depend on whom. A crate stands on a floor of a storey, and every arrow runs down: to a lower storey, or
//! to a lower floor of its own. Pure: edges in, sentences out.

use std::fmt::{self, Display, Formatter};

/// A crate's place. Places compare by height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    storey: u8,
    floor: u8,
}

/// A crate of ours and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The package's name.
    pub name: &'static str,
    place: Place,
    words: &'static str,
}

const fn room(name: &'static str, storey: u8, floor: u8, words: &'static str) -> Room {
    Room { name, place: Place { storey, floor }, words }
}

/// All crates of the house, from the roof down. A new crate gets its line here.
pub const ROOMS: &[Room] = &[
    room("flumen", 5, 0, "the one binary"),
    room("flumen-house", 4, 2, "these rules"),
    room("flumen-fuzz", 4, 2, "outside bytes"),
    room("flumen-sim", 4, 1, "whole nodes, simulated"),
    room("flumen-tuning", 4, 0, "the machine"),
    room("flumen-bench", 4, 0, "load and floors"),
    room("flumen-node", 3, 2, "one node, any host"),
    room("flumen-net", 3, 1, "connections"),
    room("flumen-client", 3, 1, "the native client"),
    room("flumen-wire", 3, 0, "frames"),
    room("flumen-engine", 2, 3, "shards, partitions"),
    room("flumen-log", 2, 2, "journal, segments"),
    room("flumen-io", 2, 1, "the door to the machine"),
    room("flumen-model", 2, 0, "ids, batches, limits"),
    room("flumen-replication", 1, 0, "Raft, nothing else"),
];

/// What kind of dependency an arrow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Built into the crate.
    Normal,
    /// Run when the crate is built.
    Build,
    /// For its tests only.
    Dev,
}

/// One dependency of a crate of ours: on another of ours or on an outside package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// Who depends.
    pub from: String,
    /// On whom.
    pub to: String,
    /// For what.
    pub kind: Kind,
}

impl Display for Arrow {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let label = match self.kind {
            Kind::Normal => "",
            Kind::Build => " (build)",
            Kind::Dev => " (dev)",
        };
        write!(out, "{} ──► {}{label}", self.from, self.to)
    }
}

/// Arrows of tests that may run up, each with its reason.
pub const TESTS_MAY_CLIMB: &[(&str, &str, &str)] = &[];

/// Crates of ours that only these may name outside tests: what reaches for the real machine or only measures must
/// not slip under a node.
pub const ONLY_FOR: &[(&str, &[&str])] = &[
    ("flumen", &[]),
    ("flumen-bench", &["flumen"]),
    ("flumen-tuning", &["flumen"]),
    ("flumen-client", &["flumen", "flumen-bench", "flumen-sim"]),
];

/// Outside packages that are a right, and who has it. Tests too ask here.
pub const RIGHTS: &[(&str, &[&str])] = &[
    ("glommio", &["flumen-io"]),
    ("io-uring", &["flumen-io"]),
    ("socket2", &["flumen-io"]),
    ("affinity", &["flumen-bench", "flumen-tuning"]),
    ("libc", &["flumen-io", "flumen-bench"]),
    ("rustix", &["flumen-client", "flumen-tuning", "flumen"]),
    ("tokio", &["flumen-client", "flumen-bench", "flumen"]),
    ("raft", &["flumen-replication"]),
    ("protobuf", &["flumen-replication"]),
    ("rand", &["flumen-sim"]),
];

/// Every rule that some arrow breaks, as a sentence that names the arrow; empty when all is well.
pub fn broken(crates: &[String], arrows: &[Arrow]) -> Vec<String> {
    let homeless = crates.iter().filter(|name| place(name).is_none());
    let homeless = homeless.map(|name| {
        format!("{name} stands on no storey: give it a line in ROOMS (bench/house/src/storeys.rs)")
    });
    homeless.chain(arrows.iter().filter_map(judge)).collect()
}

fn place(name: &str) -> Option<Place> {
    ROOMS.iter().find(|room| room.name == name).map(|room| room.place)
}

fn judge(arrow: &Arrow) -> Option<String> {
    let from = place(&arrow.from)?;
    match place(&arrow.to) {
        Some(to) => climbs(arrow, from, to).or_else(|| reserved(arrow)),
        None => right(arrow),
    }
}

fn climbs(arrow: &Arrow, from: Place, to: Place) -> Option<String> {
    let excused = arrow.kind == Kind::Dev
        && TESTS_MAY_CLIMB.iter().any(|(tests, of, _)| *tests == arrow.from && *of == arrow.to);
    if to < from || excused {
        return None;
    }
    let how =
        if to.storey > from.storey { "runs up" } else { "runs sideways against the order of its storey" };
    Some(format!("{arrow} {how}: storey {} to storey {}", from.storey, to.storey))
}

fn reserved(arrow: &Arrow) -> Option<String> {
    let (_, users) = ONLY_FOR.iter().find(|(name, _)| *name == arrow.to)?;
    let allowed = arrow.kind == Kind::Dev || users.contains(&arrow.from.as_str());
    (!allowed).then(|| format!("{arrow}: outside tests only {users:?} may depend on {}", arrow.to))
}

fn right(arrow: &Arrow) -> Option<String> {
    let (_, owners) = RIGHTS.iter().find(|(name, _)| *name == arrow.to)?;
    let allowed = owners.contains(&arrow.from.as_str());
    (!allowed).then(|| format!("{arrow}: the package {} is a right of {owners:?}", arrow.to))
}

/// The house as a drawing, for whoever broke a rule.
pub fn drawing() -> String {
    let mut out = String::from("arrows only run down, on one line not at all:\n");
    let mut above = None;
    for chunk in ROOMS.chunk_by(|one, other| one.place == other.place) {
        let Place { storey, .. } = chunk[0].place;
        let label = if above == Some(storey) { String::new() } else { format!("storey {storey}") };
        let rooms: Vec<_> = chunk.iter().map(|room| format!("{} ({})", room.name, room.words)).collect();
        out += &format!("  {label:<9} {}\n", rooms.join("   "));
        above = Some(storey);
    }
    out
}
