//! Looking at a node: the state of groups, of the node, and whether it answers at all.

use crate::fields::{malformed, number};
use crate::message::message;
use flumen_model::{Code, GroupId, Offset, Result};
use zerocopy::little_endian::U16;

/// What a group can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GroupState {
    /// Everything.
    Healthy = 0,
    /// Acked data is damaged: it is served read-only up to there.
    Damaged = 1,
    /// The disk is full for users' records: it is served, but takes none.
    Full = 2,
}

fn group_state(wire: u8) -> Result<GroupState> {
    match wire {
        0 => Ok(GroupState::Healthy),
        1 => Ok(GroupState::Damaged),
        2 => Ok(GroupState::Full),
        other => Err(malformed(format!("group state {other} is none of this protocol version"))),
    }
}

fn code(wire: U16) -> Result<Option<Code>> {
    match wire.get() {
        0 => Ok(None),
        number => Code::from_number(number)
            .map(Some)
            .ok_or_else(|| malformed(format!("unknown error code {number}"))),
    }
}

number! {
    GroupState = u8, |own: &GroupState| *own as u8, group_state;
    Option<Code> = U16, |own: &Option<Code>| U16::new(own.map_or(0, |code| code as u16)), code;
}

message! {
    /// Asks for the state of groups.
    struct DescribeRequest {
        /// The groups.
        groups: Vec<GroupId>,
    }

    /// The state of the groups that were asked for.
    struct DescribeReply {
        /// One for each, in the order of the request.
        groups: Vec<GroupDescription>,
    }

    /// The state of a group. With an error, all but the group is zero.
    struct GroupDescription {
        /// The group.
        group: GroupId,
        /// Why it cannot be described here; none when it can.
        error: Option<Code>,
        /// The first offset that it still has.
        log_start: Offset,
        /// The offset behind the last committed record.
        high_watermark: Offset,
        /// The offset behind the last record.
        log_end: Offset,
        /// Bytes of batches from the log start on.
        bytes: u64,
        /// The epoch of its leader.
        leader_epoch: u32,
        /// What it can do.
        state: GroupState,
        /// The first damaged offset.
        damaged_from: Option<Offset>,
    }

    /// Asks for nothing but a reply.
    struct PingRequest {}

    /// Asks for the node's state.
    struct StatusRequest {}

    /// The node's state.
    struct StatusReply {
        /// A JSON object, for people and monitors.
        json: String,
    }
}
