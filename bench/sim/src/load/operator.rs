//! The operator: makes, alters and deletes topics, often under a name that was just deleted, trims partitions, asks for
//! everything's state. The only one who does, so that what the node lists can be judged.

use super::{some_place, verify};
use crate::chance::Chance;
use crate::face::{Answer, Asker};
use crate::oracle::{Life, Memory, Promise, TopicKey, Wish};
use crate::sim::Shared;
use flumen_io::Host;
use flumen_io::mem::MemHost;
use flumen_model::{Code, Error, Kind, Offset, ShardId};
use flumen_wire::*;
use std::time::Duration;

/// Names are few, so that they come again.
const NAMES: u64 = 5;
const PARTITIONS_MAX: u64 = 3;
/// Topics that there should be before anything else is done.
const TOPICS_MIN: usize = 2;

/// An operator in one life of the node.
pub(crate) struct Operator {
    host: MemHost,
    shared: Shared,
    asker: Asker,
    chance: Chance,
}

fn pairs(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A number of a status, by its name.
fn number(json: &str, name: &str) -> Option<u64> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Whether a refusal says for certain that nothing was done.
fn is_certain(error: &Error) -> bool {
    matches!(error.kind(), Kind::Invalid | Kind::Full)
}

impl Operator {
    pub(crate) fn new(host: &MemHost, shared: &Shared, life: u64) -> Operator {
        let chance = Chance::of(shared.lock().plan.seed, (life << 8) + 0x0b);
        Operator { host: host.clone(), shared: shared.clone(), asker: Asker::new(host, "operator"), chance }
    }

    pub(crate) async fn run(&mut self) {
        while self.shared.step() {
            let live = self.shared.lock().oracle.topics.live().count();
            match self.chance.below(20) {
                _ if live < TOPICS_MIN => self.create().await,
                0 => self.create().await,
                1 => self.delete().await,
                2..=3 => self.alter().await,
                4..=7 => self.trim().await,
                8..=9 => self.look().await,
                10 => self.verify_one().await,
                _ => {}
            }
            let wait = self.chance.skewed(1, 400);
            self.host.sleep(Duration::from_millis(wait)).await;
        }
    }

    async fn create(&mut self) {
        let name = format!("t{}", self.chance.below(NAMES));
        let taken = self.shared.lock().oracle.topics.current(&name).map(|run| (run.key, run.life));
        if let Some((key, life)) = taken {
            return self.settle(key, &name, life).await;
        }
        let wish = Wish {
            partitions: self.chance.between(1, PARTITIONS_MAX) as u32,
            bounded: self.chance.one_in(1, 3),
            memory: self.chance.one_in(1, 5),
            append_time: self.chance.one_in(1, 6),
        };
        let mut settings = vec![("retention.ms", "-1"), ("segment.bytes", "262144")];
        if wish.bounded {
            settings.push(("retention.bytes", "700000"));
        }
        if wish.memory {
            settings.push(("durability", "quorum-memory"));
        }
        if wish.append_time {
            settings.push(("message.timestamp.type", "LogAppendTime"));
        }
        let key = self.shared.lock().oracle.topics.asked(&name, wish, self.host.now().0);
        let request = CreateTopicRequest {
            name: name.clone(),
            partitions: wish.partitions,
            settings: pairs(&settings),
        };
        let answer = self.asker.ask(ShardId(0), &request).await;
        self.say(|| format!("topic {name} is asked for with {wish:?}: {answer:?}"));
        match answer {
            Answer::Got(_) => self.shared.count("topics made", 1),
            Answer::Refused(error) if is_certain(&error) => {
                self.shared.count(&format!("topics refused: {:?}", error.code), 1);
                self.shared.lock().oracle.topics.refused(key, self.host.now().0);
                if error.code == Code::TopicExists {
                    let what = format!("topic {name} is there, and was deleted or never made");
                    self.shared.report(Promise::DeletedComesBack, what);
                }
            }
            Answer::Refused(_) | Answer::Lost => {}
        }
        self.list().await;
    }

    /// A name that is neither here nor there: ask again.
    async fn settle(&mut self, key: TopicKey, name: &str, life: Life) {
        match life {
            Life::Dying => self.delete_run(key, name.to_string()).await,
            _ => self.list().await,
        }
    }

    async fn delete(&mut self) {
        let some = {
            let sim = self.shared.lock();
            let live: Vec<_> = sim.oracle.topics.live().map(|run| (run.key, run.name.clone())).collect();
            self.chance.pick(&live).cloned()
        };
        if let Some((key, name)) = some {
            self.delete_run(key, name).await;
            if self.chance.one_in(1, 2) {
                self.create().await;
            }
        }
    }

    async fn delete_run(&mut self, key: TopicKey, name: String) {
        let before = self.shared.lock().oracle.topics.run(key).life;
        self.shared.lock().oracle.topics.delete_asked(key);
        let answer = self.asker.ask(ShardId(0), &DeleteTopicRequest { name: name.clone() }).await;
        self.say(|| format!("topic {name} is deleted: {answer:?}"));
        let now = self.host.now().0;
        match answer {
            Answer::Got(_) => {
                self.shared.count("topics deleted", 1);
                self.shared.lock().oracle.topics.deleted(key, now);
                self.list().await;
            }
            Answer::Refused(error) if error.code == Code::UnknownTopic => {
                if before == Life::Live {
                    let what = format!("topic {name} is gone, and nobody deleted it");
                    self.shared.report(Promise::DeletedComesBack, what);
                }
                self.shared.lock().oracle.topics.deleted(key, now);
            }
            Answer::Refused(_) | Answer::Lost => {}
        }
    }

    async fn alter(&mut self) {
        let Some(place) = some_place(&self.shared, &mut self.chance) else { return };
        let change = match self.chance.below(4) {
            0 => ("retention.bytes", "400000"),
            1 => ("retention.ms", "8000"),
            2 => ("retention.bytes", "-1"),
            _ => ("retention.ms", "-1"),
        };
        if change.1 != "-1" {
            let mut sim = self.shared.lock();
            sim.oracle.topics.bounded(place.key.topic);
            if change.0 == "retention.ms" {
                sim.oracle.topics.timed(place.key.topic);
            }
        }
        let request = AlterTopicRequest { name: place.topic.clone(), settings: pairs(&[change]) };
        let answer = self.asker.ask(ShardId(0), &request).await;
        self.say(|| format!("topic {} gets {change:?}: {answer:?}", place.topic));
        if answer.got().is_some() {
            self.shared.count("topics altered", 1);
        }
    }

    async fn trim(&mut self) {
        let Some(place) = some_place(&self.shared, &mut self.chance) else { return };
        let to = {
            let mut sim = self.shared.lock();
            let part = sim.oracle.topics.part(place.key);
            let to = self.chance.between(part.log_start, part.end.max(part.log_start));
            sim.oracle.topics.trim_asked(place.key, to);
            to
        };
        let request = TrimRequest { group: place.group, before_offset: Offset(to) };
        let answer = self.asker.ask(place.shard, &request).await;
        self.say(|| format!("{} is trimmed to {to}: {answer:?}", place.key));
        if let Answer::Got(reply) = answer {
            self.shared.count("trims", 1);
            if reply.log_start.0 < to {
                let what = format!("{} starts at {} after a trim to {to}", place.key, reply.log_start);
                self.shared.report(Promise::LogStart, what);
            }
        }
    }

    /// Looks at what people look at.
    async fn look(&mut self) {
        match self.chance.below(3) {
            0 => self.list().await,
            1 => self.look_at_memory().await,
            _ => drop(self.asker.ask(ShardId(0), &ListSubscriptionsRequest {}).await),
        }
    }

    async fn look_at_memory(&mut self) {
        let (shard, limits) = {
            let plan = &self.shared.lock().plan;
            (ShardId(self.chance.below(u64::from(plan.shards)) as u16), plan.limits())
        };
        let Answer::Got(status) = self.asker.ask(shard, &StatusRequest {}).await else { return };
        let Some(cached_bytes) = number(&status.json, "cached_bytes") else { return };
        // What the journal has and the segments have not stays in memory, however slow the disk is.
        let beside = limits.in_flight_bytes_per_shard_max as u64 + limits.journal_bytes;
        let allowed_bytes = limits.cache_bytes as u64 + beside;
        let mut sim = self.shared.lock();
        sim.stats.most("bytes of batches in a shard's memory", cached_bytes);
        sim.oracle.remembers(&Memory { cached_bytes, allowed_bytes });
    }

    async fn list(&mut self) {
        verify::topics(&mut self.asker, &self.shared, self.host.now().0, false).await;
    }

    async fn verify_one(&mut self) {
        let Some(place) = some_place(&self.shared, &mut self.chance) else { return };
        verify::partition(&mut self.asker, &self.host, &self.shared, &place, false).await;
    }

    fn say(&self, what: impl FnOnce() -> String) {
        self.shared.say(self.host.now().0, what);
    }
}
