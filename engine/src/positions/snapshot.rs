//! All positions as bytes. Layout: `FORMAT.md` beside the crate. Restoring trusts no length, and refuses what no
//! history of commands leads to.

use super::Positions;
use super::command::POSITION_METADATA_BYTES_MAX;
use super::subscription::{
    Key, POSITION_BYTES, Position, SUBSCRIPTION_BYTES, Subscription, SubscriptionName,
};
use crate::metadata::flat::{Reader, Reading, put_count, put_fixed, put_string};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::{Code, Error, Offset, PartitionNumber, Result, TopicId, UnixMillis};
use uuid::Uuid;
use zerocopy::little_endian::{I32, I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version that is written and the only one that is read.
const VERSION: u16 = 1;

/// Version, applied index, count.
const HEAD_BYTES: usize = 2 + 8 + 4;

const READING: Reading = Reading { what: "positions snapshot", malformed: Code::Corrupt };

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PositionRow {
    topic: [u8; 16],
    offset: U64,
    time: I64,
    partition: U32,
    leader_epoch: I32,
}

const _: () =
    assert!(size_of::<PositionRow>() + 4 == POSITION_BYTES as usize, "the bound counts what is written");

impl Positions {
    /// The whole state. The same commands give the same bytes on every replica.
    pub fn snapshot(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEAD_BYTES + self.bytes as usize);
        out.put_u16_le(VERSION);
        out.put_u64_le(self.applied);
        put_count(&mut out, self.subscriptions.len());
        for (name, subscription) in &self.subscriptions {
            put_string(&mut out, name.as_str());
            out.put_i64_le(subscription.used().0);
            put_count(&mut out, subscription.positions().len());
            subscription.positions().for_each(|row| put_position(&mut out, row));
        }
        out.freeze()
    }

    /// The state of a snapshot.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a version of another release, [`Code::Corrupt`] for bytes that no state wrote.
    pub fn restore(bytes: &[u8]) -> Result<Positions> {
        let mut reader = Reader::new(bytes, READING);
        let version = reader.u16()?;
        if version != VERSION {
            let message =
                format!("the positions snapshot has version {version}, this release reads {VERSION}");
            return Err(Error::new(Code::Unsupported, message));
        }
        let mut state = Positions { applied: reader.u64()?, ..Positions::default() };
        for _ in 0..reader.count(SUBSCRIPTION_BYTES as usize)? {
            let (name, subscription) = read_subscription(&mut reader)?;
            if state.subscriptions.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(reader.malformed("its subscriptions are not in the order of their names"));
            }
            state.bytes += subscription.bytes(&name);
            state.subscriptions.insert(name, subscription);
        }
        reader.end()?;
        Ok(state)
    }
}

fn read_subscription(reader: &mut Reader<'_>) -> Result<(SubscriptionName, Subscription)> {
    let name = reader.string()?;
    let name = SubscriptionName::new(name).map_err(|error| reader.malformed(&error.message))?;
    let mut subscription = Subscription::default();
    subscription.touch(UnixMillis(reader.i64()?));
    for _ in 0..reader.count(POSITION_BYTES as usize)? {
        let (key, position) = read_position(reader)?;
        if !subscription.ends_before(&key) {
            return Err(reader.malformed("a subscription's positions are not in order"));
        }
        subscription.set(key, position);
    }
    Ok((name, subscription))
}

fn put_position(out: &mut BytesMut, (topic, partition, position): (TopicId, PartitionNumber, &Position)) {
    let row = PositionRow {
        topic: topic.0.into_bytes(),
        offset: position.offset.0.into(),
        time: position.time.0.into(),
        partition: partition.0.into(),
        leader_epoch: position.leader_epoch.into(),
    };
    put_fixed(out, &row);
    put_string(out, &position.metadata);
}

fn read_position(reader: &mut Reader<'_>) -> Result<(Key, Position)> {
    let row: &PositionRow = reader.fixed()?;
    let metadata = reader.string()?;
    if metadata.len() > POSITION_METADATA_BYTES_MAX {
        return Err(reader.malformed("a position's metadata are too long"));
    }
    let key = (TopicId(Uuid::from_bytes(row.topic)), PartitionNumber(row.partition.get()));
    let position = Position {
        offset: Offset(row.offset.get()),
        leader_epoch: row.leader_epoch.get(),
        metadata: metadata.into(),
        time: UnixMillis(row.time.get()),
    };
    Ok((key, position))
}
