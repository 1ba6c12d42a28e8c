//! All limits of a node in one place, each with its reason. *Format* limits are burnt into directories and
//! wires and never differ; *process* limits may differ per node, with values for production and for simulation
//! (small, so that wrap-around and full queues happen all the time). Nothing else in the house holds a limit.

/// A block of the disk formats: the unit of direct I/O and of padding. 4 KiB is every device's page.
pub const BLOCK_BYTES: usize = 4096;
/// A chunk of a segment: the unit of its checksummed index and of verified reads. 64 KiB costs 2.9 µs of
/// CRC a read, and one 64-byte index entry per chunk is 0.1 % of the data.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// The longest topic or subscription name, Kafka's.
pub const NAME_BYTES_MAX: usize = 249;
/// No record batch may ever be larger than this, whatever a topic says: a write group holds
/// max(1 MiB, one frame) and a frame never spans journal files.
pub const BATCH_BYTES_HARD_MAX: usize = 4 * 1024 * 1024;
/// Room beside the batch in a native frame: header, client id, names.
pub const FRAME_OVERHEAD_BYTES_MAX: usize = 64 * 1024;
/// The largest native frame that a stranger may send.
pub const FRAME_BYTES_MAX: usize = BATCH_BYTES_HARD_MAX + FRAME_OVERHEAD_BYTES_MAX;
/// The largest native request that carries no batch: the positions of 10,000 partitions with room for metadata.
/// Small, because what is decoded takes a few times the memory of its bytes.
pub const COLD_REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// The largest native frame before the handshake is done: a Hello with a client id is far below it.
pub const HELLO_BYTES_MAX: usize = 1024;
/// The longest client id in a Hello; it stands in logs and metrics.
pub const CLIENT_ID_BYTES_MAX: usize = 255;
/// The longest sentence in an error reply; longer ones are cut.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 1024;
/// A journal write gathers until this size (more only for one larger frame): beyond 1 MiB throughput gains
/// nothing and latency grows by the transfer time.
pub const WRITE_GROUP_BYTES_MAX: usize = 1024 * 1024;
/// The journal is a ring of this many files: enough that freeing one at a time is a small step.
pub const JOURNAL_FILES: usize = 8;
/// The smallest journal: each of its files must take a header and the largest write group twice over.
pub const JOURNAL_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// A checkpoint carries up to this much of a partition's newest batches inline instead of spreading them first:
/// a thousand quiet partitions then cost a few megabytes of journal a turn, not a thousand writes and flushes.
pub const CHECKPOINT_INLINE_BYTES_MAX: u64 = 32 * 1024;
/// Batches remembered per idempotent producer, Kafka's: the most a client may have in flight.
pub const PRODUCER_BATCHES_KEPT: usize = 5;
/// Partitions of one topic: one create command must fit a batch.
pub const TOPIC_PARTITIONS_MAX: u32 = 10_000;
/// All subscriptions' positions together: they are one state, checkpointed whole.
pub const POSITIONS_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Settings bytes of one topic.
pub const TOPIC_SETTINGS_BYTES_MAX: usize = 4096;
/// No topic may ask for smaller segments: files of a few chunks cost more than they hold.
pub const SEGMENT_BYTES_MIN: u64 = 4 * CHUNK_BYTES as u64;
/// No topic may ask for a smaller largest batch: it would hold hardly a record.
pub const BATCH_BYTES_MAX_MIN: usize = 1024;

const _: () = assert!(
    JOURNAL_BYTES_MIN as usize / JOURNAL_FILES
        >= 2 * BLOCK_BYTES + BATCH_BYTES_HARD_MAX + WRITE_GROUP_BYTES_MAX,
    "a frame never spans files, so the smallest file must hold the largest write group"
);
const _: () = assert!(CHUNK_BYTES.is_multiple_of(BLOCK_BYTES), "chunks are whole blocks");

/// The limits of one node's process; they may differ between nodes and between starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Journal bytes of a shard. Recovery reads at most this much; 1 GiB is about a second.
    pub journal_bytes: u64,
    /// Tail cache bytes of a shard: what subscribers near the end are served from.
    pub cache_bytes: usize,
    /// A segment rolls at this size unless the topic says otherwise.
    pub segment_bytes: u64,
    /// Largest record batch unless the topic says otherwise; Kafka's `message.max.bytes`.
    pub batch_bytes_max: usize,
    /// Partitions on one shard. Each may cost 16 KiB of memory.
    pub partitions_per_shard_max: usize,
    /// Bytes proposed and not yet committed, per group: bounds memory and recovery.
    pub uncommitted_bytes_per_group_max: usize,
    /// Bytes proposed and not yet durable on a shard; beyond it connections are not read.
    pub in_flight_bytes_per_shard_max: usize,
    /// Catch-up bytes in flight per device, all readers together: decides how much they hurt appends.
    pub read_bytes_in_flight_max: usize,
    /// One catch-up read request.
    pub read_request_bytes: usize,
    /// Idempotent producers remembered per partition; the least recently used are dropped beyond it.
    pub producers_per_partition_max: usize,
    /// Connections of one node.
    pub connections_max: usize,
    /// Requests in flight on one connection; beyond it the connection is not read.
    pub requests_in_flight_per_connection_max: usize,
    /// Reply bytes queued on one connection; beyond it the connection is not read.
    pub reply_bytes_per_connection_max: usize,
    /// Credit one subscription may hold.
    pub credit_bytes_max: u32,
    /// Subscriptions with push on one connection.
    pub pushes_per_connection_max: usize,
    /// A connection must finish its handshake in this time.
    pub handshake_ms_max: u64,
    /// A connection without a byte for this long is closed.
    pub idle_ms_max: u64,
    /// A connection that takes no reply bytes for this long is closed.
    pub write_stall_ms_max: u64,
    /// A journal idle for this long writes one mark block, so that the last ack leaves evidence.
    pub mark_idle_ms: u64,
    /// `quorum-memory` data is flushed within this time.
    pub memory_flush_ms: u64,
    /// Named subscriptions of a node.
    pub subscriptions_max: usize,
    /// Free bytes below which a warning is logged.
    pub disk_warn_bytes: u64,
    /// Free bytes below which users' records are refused.
    pub disk_refuse_bytes: u64,
    /// Bytes of the reserve, in a file of each shard: given back when space is out, so that spreading and deletion
    /// finish; users' records are refused until it is whole again.
    pub disk_reserve_bytes: u64,
    /// Open segment files of a shard; the least recently used are closed beyond it.
    pub open_segments_max: usize,
}

impl Limits {
    /// For a machine that does nothing else.
    pub fn production() -> Limits {
        Limits {
            journal_bytes: 1 << 30,
            cache_bytes: 256 << 20,
            segment_bytes: 256 << 20,
            batch_bytes_max: 1024 * 1024 + 12,
            partitions_per_shard_max: 10_000,
            uncommitted_bytes_per_group_max: 16 << 20,
            in_flight_bytes_per_shard_max: 64 << 20,
            read_bytes_in_flight_max: 512 * 1024,
            read_request_bytes: 128 * 1024,
            producers_per_partition_max: 4096,
            connections_max: 20_000,
            requests_in_flight_per_connection_max: 4096,
            reply_bytes_per_connection_max: 4 << 20,
            credit_bytes_max: 64 << 20,
            pushes_per_connection_max: 4096,
            handshake_ms_max: 10_000,
            idle_ms_max: 600_000,
            write_stall_ms_max: 30_000,
            mark_idle_ms: 5,
            memory_flush_ms: 10,
            subscriptions_max: 10_000,
            disk_warn_bytes: 8 << 30,
            disk_refuse_bytes: 2 << 30,
            disk_reserve_bytes: 1 << 30,
            open_segments_max: 4096,
        }
    }

    /// For tests, quickstart and small disks: the same code with little of everything.
    pub fn small() -> Limits {
        Limits {
            journal_bytes: JOURNAL_BYTES_MIN,
            cache_bytes: 16 << 20,
            segment_bytes: 16 << 20,
            disk_warn_bytes: 256 << 20,
            disk_refuse_bytes: 64 << 20,
            disk_reserve_bytes: 16 << 20,
            ..Limits::production()
        }
    }

    /// For simulation: so small that every bound is met within seconds.
    pub fn simulation() -> Limits {
        Limits {
            cache_bytes: 256 * 1024,
            segment_bytes: 512 * 1024,
            partitions_per_shard_max: 64,
            uncommitted_bytes_per_group_max: 1 << 20,
            in_flight_bytes_per_shard_max: 2 << 20,
            producers_per_partition_max: 8,
            connections_max: 64,
            requests_in_flight_per_connection_max: 32,
            reply_bytes_per_connection_max: 64 * 1024,
            credit_bytes_max: 1 << 20,
            pushes_per_connection_max: 16,
            handshake_ms_max: 1_000,
            idle_ms_max: 30_000,
            write_stall_ms_max: 5_000,
            subscriptions_max: 16,
            disk_warn_bytes: 3 << 20,
            disk_refuse_bytes: 2 << 20,
            disk_reserve_bytes: 1 << 20,
            open_segments_max: 8,
            ..Limits::small()
        }
    }
}
