//! Errors that say what to do. Few kinds; each code has a kind, a stable number on the wire and Kafka's code.
//! An error never carries a stranger's bytes unbounded.

use std::fmt;

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is wrong with the request: send it again, after a moment.
    Retry,
    /// Somebody else leads or owns this: refresh the routing and send it there.
    NotLeader,
    /// The request can never succeed as it is: change it.
    Invalid,
    /// A limit or the disk is full: free or allow something first.
    Full,
    /// Stored data is damaged: see `flumen check`.
    Corrupt,
    /// The connection, the log or the node is going away.
    Closed,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $kind:ident, kafka $kafka:literal;)*) => {
        /// What went wrong, with a stable number. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// All codes, for tables and tests.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// What the caller should do.
            pub fn kind(self) -> Kind {
                match self { $(Code::$name => Kind::$kind,)* }
            }

            /// Kafka's error code (`Errors.java`).
            pub fn kafka(self) -> i16 {
                match self { $(Code::$name => $kafka,)* }
            }

            /// The code of a number read from the wire.
            pub fn from_number(number: u16) -> Option<Code> {
                match number { $($number => Some(Code::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// The node is starting or the group has no leader yet.
    NotReady = 1, Retry, kafka 5;
    /// Too much is in flight: back off.
    Busy = 2, Retry, kafka 89;
    /// A wait ran out of time.
    Timeout = 3, Retry, kafka 7;
    /// This replica does not lead the group.
    NotLeader = 10, NotLeader, kafka 6;
    /// The partition is owned by another shard of this node: connect to that one.
    WrongShard = 11, NotLeader, kafka 6;
    /// The frame or argument is malformed.
    InvalidRequest = 20, Invalid, kafka 42;
    /// The record batch is malformed, or its counts or offsets lie.
    InvalidBatch = 21, Invalid, kafka 87;
    /// The record batch's own checksum does not match.
    BatchChecksum = 22, Invalid, kafka 2;
    /// The batch is over the topic's or the node's limit.
    BatchTooLarge = 23, Invalid, kafka 10;
    /// A timestamp out of the topic's bounds.
    InvalidTimestamp = 24, Invalid, kafka 32;
    /// No such topic or partition.
    UnknownTopic = 25, Invalid, kafka 3;
    /// A topic of that name exists.
    TopicExists = 26, Invalid, kafka 36;
    /// Not a legal topic or subscription name.
    InvalidName = 27, Invalid, kafka 17;
    /// Unknown setting, or a value out of its range.
    InvalidSetting = 28, Invalid, kafka 40;
    /// Not a legal number of partitions.
    InvalidPartitions = 29, Invalid, kafka 37;
    /// The offset is below the log start or above the high watermark.
    OffsetOutOfRange = 30, Invalid, kafka 1;
    /// An idempotent producer's sequence is not the next one.
    OutOfOrderSequence = 31, Invalid, kafka 45;
    /// An idempotent producer's epoch is older than the newest seen.
    ProducerFenced = 32, Invalid, kafka 47;
    /// No such subscription.
    UnknownSubscription = 33, Invalid, kafka 69;
    /// A version, feature or operation that this node does not speak.
    Unsupported = 34, Invalid, kafka 35;
    /// A repeat of a batch that is older than the ones remembered.
    DuplicateSequence = 35, Invalid, kafka 46;
    /// The disk or its quota is full for users' records.
    DiskFull = 40, Full, kafka 56;
    /// A limit of this node (partitions, connections, producers, memory).
    LimitReached = 41, Full, kafka 44;
    /// Acked data is damaged; the partition is served read-only up to the damage.
    Corrupt = 50, Corrupt, kafka 56;
    /// The log failed and takes no more appends.
    LogFailed = 51, Closed, kafka 56;
    /// The node or connection is closing.
    Closed = 60, Closed, kafka 8;
}

/// An error with its code and a sentence that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub code: Code,
    /// One clear sentence for a person.
    pub message: String,
}

/// The house's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this code with a sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into() }
    }

    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        self.code.kind()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_its_number() {
        for &code in Code::ALL {
            assert_eq!(Code::from_number(code as u16), Some(code));
        }
        assert_eq!(Code::from_number(0), None, "0 means success on the wire");
    }
}
