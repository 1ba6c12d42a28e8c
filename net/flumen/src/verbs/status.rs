//! `flumen status`: who the node is and what each of its shards is doing.

use super::ask::Ask;
use crate::print::table::{Side, Table};
use crate::print::{Form, units};
use flumen_model::{Code, Error, Result, ShardId};
use flumen_wire::StatusRequest;
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;

#[derive(Serialize)]
struct Status {
    server: String,
    node: String,
    version: String,
    topics: usize,
    partitions: usize,
    /// What each shard says of itself, by number.
    shards: Vec<Value>,
}

/// `flumen status`
pub(crate) fn run(server: SocketAddr, form: Form) -> Result<()> {
    let mut ask = Ask::connect(server)?;
    let topics = ask.topics()?;
    let shards = (0..ask.hello().shards).map(|shard| of_shard(&mut ask, ShardId(shard)));
    let shards = shards.collect::<Result<Vec<Value>>>()?;
    let status = Status {
        server: server.to_string(),
        node: ask.hello().node.to_string(),
        version: ask.hello().server_version.clone(),
        topics: topics.len(),
        partitions: topics.iter().map(|topic| topic.partitions.len()).sum(),
        shards,
    };
    form.answer(&status, Status::text);
    Ok(())
}

/// What a shard says of itself.
pub(crate) fn of_shard(ask: &mut Ask, shard: ShardId) -> Result<Value> {
    let json = ask.shard(shard, &StatusRequest {})?.json;
    serde_json::from_str(&json).map_err(|error| {
        Error::new(Code::Unsupported, format!("the status of shard {shard} cannot be read: {error}"))
    })
}

/// A number in a shard's status; a node of another version may not have it.
fn number(status: &Value, pointer: &str) -> Option<u64> {
    status.pointer(pointer)?.as_u64()
}

impl Status {
    fn text(&self) -> String {
        let count =
            |status: &Value, pointer: &str| number(status, pointer).map_or("-".to_owned(), units::count);
        let bytes =
            |status: &Value, pointer: &str| number(status, pointer).map_or("-".to_owned(), units::bytes);
        let mut table = Table::new(&[
            ("SHARD", Side::Right),
            ("PARTITIONS", Side::Right),
            ("JOURNAL TURNS", Side::Right),
            ("FREE FILES", Side::Right),
            ("WRITES", Side::Right),
            ("WRITTEN", Side::Right),
            ("SPREAD", Side::Right),
            ("CACHED", Side::Right),
            ("DISK", Side::Left),
        ]);
        for shard in &self.shards {
            let full = shard.get("full").and_then(Value::as_bool);
            table.row([
                count(shard, "/shard"),
                count(shard, "/partitions"),
                count(shard, "/journal/turns"),
                count(shard, "/journal/free_files"),
                count(shard, "/journal/writes"),
                bytes(shard, "/journal/bytes"),
                bytes(shard, "/spread_bytes"),
                bytes(shard, "/cached_bytes"),
                full.map_or("-", |full| if full { "FULL" } else { "free" }).to_owned(),
            ]);
        }
        format!(
            "node {} on {}, version {}\n{}, {}\n\n{table}",
            self.node,
            self.server,
            self.version,
            units::counted(self.topics as u64, "topic"),
            units::counted(self.partitions as u64, "partition"),
        )
    }
}
