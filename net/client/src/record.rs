//! Records as users write and read them. Plain values; bytes are shared, never copied on the way to a reader.

use bytes::Bytes;
use flumen_model::{Offset, PartitionNumber, UnixMillis};
use std::sync::Arc;

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its key, UTF-8 by custom. Keys may repeat.
    pub key: Bytes,
    /// Its value; none is not the same as empty.
    pub value: Option<Bytes>,
}

/// A record to be sent.
///
/// ```
/// use flumen_client::NewRecord;
/// let record = NewRecord::to("orders").key("customer-7").value("two apples").header("trace", "4711");
/// assert_eq!(&record.topic[..], "orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Where it goes.
    pub topic: Arc<str>,
    /// The partition; none lets the key choose, as Kafka's clients do, and without a key fills one batch after the
    /// other.
    pub partition: Option<PartitionNumber>,
    /// The key; none is not the same as empty.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone, not an empty value.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// The time that it carries; none is now.
    pub timestamp: Option<UnixMillis>,
}

impl NewRecord {
    /// A record to a topic, with nothing in it.
    pub fn to(topic: impl Into<Arc<str>>) -> NewRecord {
        NewRecord {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// To this partition.
    pub fn partition(self, number: u32) -> NewRecord {
        NewRecord { partition: Some(PartitionNumber(number)), ..self }
    }

    /// With this key.
    pub fn key(self, key: impl Into<Bytes>) -> NewRecord {
        NewRecord { key: Some(key.into()), ..self }
    }

    /// With this value.
    pub fn value(self, value: impl Into<Bytes>) -> NewRecord {
        NewRecord { value: Some(value.into()), ..self }
    }

    /// With one more header.
    pub fn header(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> NewRecord {
        self.headers.push(Header { key: key.into(), value: Some(value.into()) });
        self
    }

    /// With this time instead of now.
    pub fn timestamp(self, time: UnixMillis) -> NewRecord {
        NewRecord { timestamp: Some(time), ..self }
    }
}

/// Where a sent record lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionNumber,
    /// Its offset. None with acks none, and in the rare case that it is known to be appended but the node no longer
    /// remembers where.
    pub offset: Option<Offset>,
    /// The time of the append, when the topic gives records that time.
    pub append_time: Option<UnixMillis>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionNumber,
    /// Its offset.
    pub offset: Offset,
    /// Its time: the producer's, or the append's when the topic wants that.
    pub timestamp: UnixMillis,
    /// Its key; none is not the same as empty.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}
