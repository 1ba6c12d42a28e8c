//! The tokio producer. Clones share everything: records, connections, the buffer.

use crate::blocking::wall_clock;
use crate::core::producer::{ProducerEngine, ProducerSettings, RecordRef};
use crate::record::NewRecord;
use crate::settings::Settings;
use crate::tokio_face::delivery::Delivery;
use crate::tokio_face::shared::{Owner, Shared, closed};
use flumen_model::Result;
use std::sync::Arc;

/// Sends records. Get one from [`Client::producer`](crate::Client::producer).
#[derive(Clone)]
pub struct Producer {
    owner: Arc<Owner<ProducerEngine>>,
}

impl Producer {
    pub(crate) fn new(addr: &str, settings: Settings, producer: ProducerSettings) -> Result<Producer> {
        let shared = Shared::start(addr, ProducerEngine::new(settings, producer)?)?;
        Ok(Producer { owner: Arc::new(Owner(shared)) })
    }

    /// Sends a record. It is on its way when this returns, in the order of calls; the future tells its fate. While the
    /// buffer is full it waits for room inside the producer: who sends without awaiting each record should
    /// [`ready`](Producer::ready) first.
    pub fn send(&self, record: NewRecord) -> Delivery {
        let shared = &self.owner.0;
        let place = shared.act(|engine, desk, now| {
            let headers: Vec<_> =
                record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
            let record = RecordRef {
                topic: &record.topic,
                partition: record.partition,
                timestamp: record.timestamp.unwrap_or_else(wall_clock),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            let place = desk.reserve();
            engine.send(&record, place as u64, now);
            place
        });
        Delivery::new(shared.clone(), place)
    }

    /// Waits until the buffer has room: the back-pressure of those who send without awaiting each record.
    pub async fn ready(&self) -> Result<()> {
        let shared = &self.owner.0;
        loop {
            let changed = shared.changed.notified();
            {
                let state = shared.lock();
                if state.is_closed() {
                    return Err(closed());
                }
                if state.engine.has_room() {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// Sends everything that is gathered and waits until all records that were sent before have their fate, good or
    /// bad.
    pub async fn flush(&self) -> Result<()> {
        let shared = &self.owner.0;
        let place = shared.act(|engine, desk, _| {
            let place = desk.reserve();
            engine.flush(place as u64);
            place
        });
        Delivery::new(shared.clone(), place).await.map(drop)
    }

    /// Flushes and ends the producer and all its clones.
    pub async fn close(self) -> Result<()> {
        let flushed = self.flush().await;
        self.owner.0.close();
        flushed
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("addr", &self.owner.0.addr).finish_non_exhaustive()
    }
}
