//! One run: a seed's, or of given acts. Catches what fails and says how.

use super::act::Act;
use super::game::Game;
use super::mode::{Mode, Temper};
use super::player::Player;
use crate::common::notes::{Counts, Notes};
use crate::common::replica::Habits;
use flumen_replication::Index;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Everything that happened, in one number.
    pub(crate) trace: u64,
    pub(crate) events: u64,
    pub(crate) counts: Counts,
    pub(crate) acks: usize,
    pub(crate) ticks_to_heal: usize,
    /// If it was told.
    pub(crate) story: Vec<String>,
}

/// What failed, and what led there.
pub(crate) struct Failure {
    pub(crate) scenario: Scenario,
    pub(crate) why: String,
    /// What happened until then.
    pub(crate) counts: Counts,
    pub(crate) events: u64,
    /// If it was told.
    pub(crate) story: Vec<String>,
}

/// What is needed to play a run again.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) voters: u64,
    pub(crate) habits: Habits,
    pub(crate) acts: Vec<Act>,
}

impl Scenario {
    /// How many replicas take part.
    pub(crate) fn replicas(&self) -> u64 {
        self.voters + self.acts.iter().filter(|act| matches!(act, Act::Create(_))).count() as u64
    }

    /// Plays the acts, heals, and judges.
    pub(crate) fn play(&self, told: bool) -> Result<Outcome, Failure> {
        let mut game = Game::new(self.voters, self.habits);
        game.ring.notes.story = told.then(Vec::new);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            self.acts.iter().for_each(|act| game.play(act));
            finish(&mut game)
        }));
        caught.map_err(|panic| failure(panic, self.clone(), &mut game.ring.notes))
    }
}

/// Plays one seed.
pub(crate) fn run(seed: u64, mode: &'static Mode, told: bool) -> Result<Outcome, Failure> {
    let mut player = Player::new(seed, mode);
    player.game.ring.notes.story = told.then(Vec::new);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        player.play_all();
        finish(&mut player.game)
    }));
    caught.map_err(|panic| {
        let Player { mut game, acts, .. } = player;
        let scenario = Scenario { voters: mode.voters_first, habits: habits(seed, mode), acts };
        failure(panic, scenario, &mut game.ring.notes)
    })
}

/// The acts of a seed.
pub(crate) fn scenario(seed: u64, mode: &'static Mode) -> Scenario {
    let mut player = Player::new(seed, mode);
    player.play_all();
    Scenario { voters: mode.voters_first, habits: habits(seed, mode), acts: player.acts }
}

fn habits(seed: u64, mode: &'static Mode) -> Habits {
    Temper::drawn(&mut Player::chance(seed), mode).habits()
}

/// Heals, and judges the whole.
fn finish(game: &mut Game) -> Outcome {
    let ticks_to_heal = game.heal();
    game.fold_tallies();
    let oracle = &game.ring.oracle;
    let end = oracle.end().map_or(Index(0), |entry| entry.index);
    oracle.check_acks(end);
    let notes = &mut game.ring.notes;
    Outcome {
        story: notes.story.take().unwrap_or_default(),
        trace: notes.trace.0,
        events: notes.events,
        counts: notes.counts.clone(),
        acks: oracle.acks,
        ticks_to_heal,
    }
}

fn failure(panic: Box<dyn Any + Send>, scenario: Scenario, notes: &mut Notes) -> Failure {
    let why = match panic.downcast::<String>() {
        Ok(why) => *why,
        Err(other) => other.downcast::<&str>().map_or_else(|_| "a panic".into(), |why| (*why).into()),
    };
    Failure {
        scenario,
        why,
        counts: notes.counts.clone(),
        events: notes.events,
        story: notes.story.take().unwrap_or_default(),
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} acts", self.why, self.scenario.acts.len())
    }
}

/// What each failure breaks, by words of its sentence. Whatever is not here is a panic.
const PROMISES: &[(&str, &str)] = &[
    ("two entries with one index and term", "OneEntryInAPlace"),
    ("two leaders in term", "OneLeader"),
    ("a second vote in one term", "OneLeader"),
    ("two entries committed", "CommittedStays"),
    ("acked", "CommittedStays"),
    ("a leader lacks committed entry", "CommittedStays"),
    ("is never replaced", "CommittedStays"),
    ("a snapshot takes back", "CommittedStays"),
    ("a snapshot never takes back", "CommittedStays"),
    ("no majority of voters has on disk", "MajorityHasIt"),
    ("for an entry of an older term", "MajorityHasIt"),
    ("two outcomes", "OneConfiguration"),
    ("a snapshot with another configuration", "OneConfiguration"),
    ("a snapshot of another log", "CommittedStays"),
    ("that is not durable", "DurableFirst"),
    ("in order, each once", "EachOnce"),
    ("takes a message for another", "Refuses"),
    ("was taken", "Refuses"),
    ("is promoted blind", "Refuses"),
    ("no agreement after", "Heals"),
];

impl Failure {
    /// The promise that is broken.
    pub(crate) fn promise(&self) -> &'static str {
        let known = PROMISES.iter().find(|(words, _)| self.why.contains(words));
        known.map_or("NoPanic", |(_, promise)| promise)
    }

    /// Without the details.
    pub(crate) fn first_line(&self) -> &str {
        self.why.lines().next().unwrap_or_default()
    }

    /// What kind of failure it is, whatever the numbers in it.
    pub(crate) fn class(&self) -> String {
        self.first_line().chars().filter(|c| !c.is_ascii_digit()).take(48).collect()
    }
}
