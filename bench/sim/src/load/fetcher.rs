//! A reader that asks instead of being pushed to: fetches anywhere, waits for more, and looks records up by time.

use super::{Place, some_place};
use crate::chance::Chance;
use crate::face::{Answer, Asker};
use crate::oracle::Promise;
use crate::payload::{Reading, open};
use crate::sim::Shared;
use flumen_io::Host;
use flumen_io::mem::MemHost;
use flumen_model::{Code, Offset, UnixMillis};
use flumen_wire::*;
use std::time::Duration;

/// A fetcher in one life of its node.
pub(crate) struct Fetcher {
    host: MemHost,
    shared: Shared,
    asker: Asker,
    chance: Chance,
}

impl Fetcher {
    pub(crate) fn new(host: &MemHost, shared: &Shared, life: u64) -> Fetcher {
        let chance = Chance::of(shared.lock().plan.seed, (life << 8) + 0xfe);
        Fetcher { host: host.clone(), shared: shared.clone(), asker: Asker::new(host, "fetcher"), chance }
    }

    pub(crate) async fn run(&mut self) {
        while self.shared.step() {
            if let Some(place) = some_place(&self.shared, &mut self.chance) {
                match self.chance.below(6) {
                    0 => self.seek_by_time(&place).await,
                    _ => self.fetch_somewhere(&place).await,
                }
            }
            let wait = self.chance.skewed(1, 60);
            self.host.sleep(Duration::from_millis(wait)).await;
        }
    }

    async fn fetch_somewhere(&mut self, place: &Place) {
        let end = self.shared.lock().oracle.topics.part(place.key).end;
        let offset = self.chance.below(end + 3);
        let bytes_max = self.chance.skewed(1, 1 << 20) as u32;
        let wait_ms = if self.chance.one_in(1, 4) { self.chance.below(2_000) as u32 } else { 0 };
        drop(self.fetch(place, offset, bytes_max, wait_ms).await);
    }

    async fn fetch(&mut self, place: &Place, offset: u64, bytes_max: u32, wait_ms: u32) -> Option<Reading> {
        let bytes_min = u32::from(wait_ms > 0);
        let request =
            FetchRequest { group: place.group, offset: Offset(offset), bytes_max, wait_ms, bytes_min };
        match self.asker.ask(place.shard, &request).await {
            Answer::Got(reply) => {
                let reading = open(&reply.batches);
                let now = self.host.now().0;
                let mut sim = self.shared.lock();
                sim.stats.count("fetches", 1);
                sim.stats.count("records fetched", reading.records.len() as u64);
                sim.oracle.fetched(place.key, offset, reply.high_watermark.0, &reading, now);
                sim.story.say(now, || {
                    format!("{} {offset} is fetched: {} records", place.key, reading.records.len())
                });
                Some(reading)
            }
            Answer::Refused(error) => {
                self.shared.count(&format!("fetches refused: {:?}", error.code), 1);
                None
            }
            Answer::Lost => None,
        }
    }

    /// The first batch that has a record of a time or later: it has one, and what lies before it is older. The node
    /// names the record itself where it can; a compressed batch answers as a whole.
    async fn seek_by_time(&mut self, place: &Place) {
        let time = self.host.wall_ms() - self.chance.skewed(1, 60_000) as i64;
        let before = self.shared.lock().oracle.topics.part(place.key).end;
        let request = ListOffsetsRequest { group: place.group, of: OffsetOf::Time(UnixMillis(time)) };
        let Answer::Got(reply) = self.asker.ask(place.shard, &request).await else { return };
        self.shared.count("lookups by time", 1);
        // What is not there was looked for in everything that was committed when it was asked.
        let offset = reply.offset.map_or(before, |offset| offset.0);
        if reply.offset.is_some()
            && let Some(batch) = self.fetch(place, offset, 1, 0).await
            && batch.records.last().is_some_and(|last| last.offset >= offset)
            && batch.records.iter().all(|seen| seen.timestamp < time)
        {
            let what = format!("{} names offset {offset} for {time}, and its batch is older", place.key);
            self.shared.report(Promise::SeekByTime, what);
        }
        if offset > 0
            && let Some(batch) = self.fetch(place, offset - 1, 1, 0).await
            && let Some(seen) = batch.records.iter().find(|seen| seen.offset == offset - 1)
            && seen.timestamp >= time
        {
            let what = format!("{} names offset {offset} for {time}, and {seen:?} is before it", place.key);
            self.shared.report(Promise::SeekByTime, what);
        }
    }
}

/// Whether a refusal says that acked data is damaged.
pub(super) fn tells_damage(code: Code) -> bool {
    code == Code::Corrupt
}
