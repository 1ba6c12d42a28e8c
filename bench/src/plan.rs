//! A run from its plan to its document: set the stage, run the parts in rounds, judge the claims, profile what was
//! missed. Every verb runs through here, so that none measures otherwise than another.

use crate::args::Common;
use crate::fault::failed;
use crate::floor::{FileSizes, HostEntry, Pins, Stage};
use crate::limit::Limit;
use crate::measure::claim::ROUNDS_MIN;
use crate::measure::journal::TURNS_MIN;
use crate::measure::{Part, Series, Spread, Verdict, run_rounds};
use crate::profile;
use crate::report::progress::Progress;
use crate::report::units::plural;
use crate::report::{Document, Facts, PartReport, document::utc};
use flumen_model::error::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Others' share of the CPUs above which the figures say little.
const BUSY_SHARE: f64 = 0.3;

/// What a verb wants to run. Parts are found by their names.
pub struct Plan {
    /// The bench's name: `floor`.
    pub bench: &'static str,
    /// What an answer promises.
    pub durability: String,
    /// The parts.
    pub parts: Vec<Box<dyn Part>>,
    /// The part that the bench is about.
    pub result: String,
    /// The blocking floor's part.
    pub floor: String,
    /// The host floor's part.
    pub host_floor: String,
    /// The limits.
    pub limits: Vec<Limit>,
}

impl Plan {
    /// Drops the parts that were not asked for; no names ask for all. What every document holds stays.
    fn keep_only(&mut self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        if let Some(unknown) = names.iter().find(|name| self.parts.iter().all(|part| part.name() != **name)) {
            let parts = self.parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ");
            let text = format!("bench {} has no part '{unknown}'; there are: {parts}", self.bench);
            return Err(Error::new(Code::InvalidSetting, text));
        }
        let always = [&self.result, &self.floor, &self.host_floor];
        self.parts.retain(|part| {
            names.iter().any(|name| name == part.name()) || always.iter().any(|name| *name == part.name())
        });
        Ok(())
    }
}

/// The ground of a run: the stage, the chosen host, the machine's facts.
pub struct Ground {
    /// Where the parts play.
    pub stage: Arc<Stage>,
    /// The host that is measured.
    pub host: HostEntry,
    /// The machine.
    pub facts: Facts,
    started: String,
}

impl Ground {
    /// Chooses host and CPUs and writes the files of the floors.
    pub fn prepare(common: &Common, hosts: &[HostEntry]) -> Result<Ground> {
        let host = choose(hosts, common.host.as_deref())?;
        let pins = Pins::choose(&common.cpus.0)?;
        let cpus =
            crate::sys::allowed_cpus().map_err(|e| failed("cannot ask which CPUs are allowed", e))?.len();
        let facts = Facts::read(&common.dir, cpus);
        let device = (!facts.device.is_empty()).then(|| facts.device.clone());
        let stage = Arc::new(Stage::build(&common.dir, pins, device, FileSizes::FULL)?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Ok(Ground { stage, host, facts, started: utc(now) })
    }
}

fn choose(hosts: &[HostEntry], wanted: Option<&str>) -> Result<HostEntry> {
    let found = match wanted {
        Some(name) => hosts.iter().find(|host| host.name() == name),
        None => hosts.first(),
    };
    let names = || hosts.iter().map(HostEntry::name).collect::<Vec<_>>().join(", ");
    found.cloned().ok_or_else(|| {
        let text = format!("there is no host '{}'; there are: {}", wanted.unwrap_or("default"), names());
        Error::new(Code::InvalidSetting, text)
    })
}

/// Runs a plan and writes its document.
pub fn execute(mut plan: Plan, ground: &Ground, common: &Common) -> Result<Document> {
    let rounds = usize::from(common.rounds);
    plan.keep_only(&common.only)?;
    let progress = Progress::new(plan.parts.len(), rounds, common.json_only);
    let mut begun = 0;
    let all = run_rounds(&mut plan.parts, rounds, common.seconds, |round, name| {
        progress.part(begun, round, name);
        begun += 1;
    })?;
    let mut document = Document::of(plan.bench, &all, &plan.result, &plan.floor, &plan.host_floor);
    document.claims = plan.limits.iter().filter_map(|limit| limit.judge(&all)).collect();
    document.host = ground.host.name().to_owned();
    document.durability = plan.durability;
    document.started = ground.started.clone();
    document.machine = ground.facts.clone();
    document.configuration = configuration(ground, common);
    document.notes = notes(&document, &all, ground);
    let missed = document.claims.iter().filter(|claim| claim.verdict == Verdict::Missed);
    let missed: BTreeSet<&str> = missed.map(|claim| claim.part.as_str()).collect();
    for name in missed {
        let part = plan.parts.iter_mut().find(|part| part.name() == name).expect("a claim names its part");
        progress.says(format!("profile of {name}"));
        document.profiles.push(profile::of(part.as_mut(), &ground.stage, common.seconds)?);
    }
    Ok(document)
}

fn configuration(ground: &Ground, common: &Common) -> BTreeMap<String, String> {
    let pins = ground.stage.pins;
    [
        ("rounds", common.rounds.to_string()),
        ("seconds a part", common.seconds.as_secs_f64().to_string()),
        ("server CPU", pins.server.to_string()),
        ("client CPU", pins.client.to_string()),
        (
            "journal MiB",
            common.server.as_ref().map_or(common.journal_mib.to_string(), |_| "the node's".to_owned()),
        ),
        ("directory", common.dir.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What a reader must know before believing the figures.
fn notes(document: &Document, all: &[Series], ground: &Ground) -> Vec<String> {
    let mut notes = Vec::new();
    let shares =
        all.iter().flat_map(|series| series.samples.iter().map(|sample| sample.account.other_share()));
    if let Some(busy) = Spread::of(shares).filter(|share| share.median > BUSY_SHARE) {
        let (median, max) = (busy.median * 100.0, busy.max * 100.0);
        notes.push(format!(
            "the machine was busy with other work ({median:.0} % of its CPU in the median part, {max:.0} % in the \
             busiest): compare ratios within a round, not times"
        ));
    }
    if ground.stage.pins.server == ground.stage.pins.client {
        notes.push("server and client shared one CPU: round trips are shorter than between two".to_owned());
    }
    if document.rounds < ROUNDS_MIN && !document.claims.is_empty() {
        let rounds = plural(document.rounds as u64, "round");
        notes.push(format!("{rounds}: a limit is only claimed over {ROUNDS_MIN} or more"));
    }
    let empty = |part: &&PartReport| part.journal.is_some_and(|journal| journal.turns < TURNS_MIN);
    let parts: Vec<&str> = document.parts.iter().filter(empty).map(|part| part.name.as_str()).collect();
    if !parts.is_empty() {
        notes.push(format!(
            "the journal went round less than {TURNS_MIN} times under {}: such a run proves nothing, measure longer",
            parts.join(", ")
        ));
    }
    notes
}
