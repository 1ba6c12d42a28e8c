//! How a client behaves: names, waits and seeds. Values only.

use std::time::Duration;

/// What all faces of a client share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the client calls itself in the node's logs and metrics; at most 255 bytes.
    pub client_id: String,
    /// A connection must stand, handshake included, in this time.
    pub connect_timeout: Duration,
    /// A connection on which an answer is due and nothing comes for this long is given up and opened again.
    pub request_timeout: Duration,
    /// From the call to its answer, all tries together: a record, or an admin's request. Kafka's
    /// `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// The first wait before another try. It doubles with each.
    pub backoff_min: Duration,
    /// The longest wait before another try.
    pub backoff_max: Duration,
    /// Where the client's chance begins: jitter of waits, partitions of records without a key. Clients with different
    /// seeds do not come back all at once.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            client_id: "flumen-client".to_string(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(120),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            seed: 0,
        }
    }
}
