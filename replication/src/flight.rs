//! Writes that are on their way to the disk, and the messages that wait for them. It must never let a message
//! out before what it speaks of is durable.

use crate::message::Message;
use std::collections::VecDeque;

/// One Ready that must be durable before others may know of it.
#[derive(Debug)]
struct Written {
    number: u64,
    /// Has a new term or vote.
    ballot: bool,
    /// The index of a snapshot's point.
    point: Option<u64>,
    held: Vec<Message>,
}

/// The Readys that are not durable yet, in order; only those that must be. A Ready with nothing but a commit
/// index is not among them.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    written: VecDeque<Written>,
    /// Free to leave with the next Ready.
    released: Vec<Message>,
}

impl Flight {
    /// A Ready that must be durable leaves for the disk.
    pub(crate) fn launch(&mut self, number: u64, ballot: bool, point: Option<u64>) {
        self.written.push_back(Written { number, ballot, point, held: Vec::new() });
    }

    /// Nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// A snapshot's point is on its way.
    pub(crate) fn has_point(&self) -> bool {
        self.written.iter().any(|written| written.point.is_some())
    }

    /// The oldest Ready that is not durable.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.written.front().map(|written| written.number)
    }

    /// Takes the messages of the newest Ready. `at_once` is Raft's word that they need not wait for log entries
    /// (a leader's); all wait for a term or vote that is not durable, because a sole voter leads, and speaks,
    /// before its own term is on disk, and would use that term again after a crash. Gives how many must wait.
    pub(crate) fn send(&mut self, mut messages: Vec<Message>, at_once: bool) -> u32 {
        let waits_for = self.written.iter_mut().rfind(|written| written.ballot || !at_once);
        match waits_for {
            Some(written) => {
                let held = messages.len() as u32;
                written.held.append(&mut messages);
                held
            }
            None => {
                self.released.append(&mut messages);
                0
            }
        }
    }

    /// Everything up to `number` is durable. Gives the newest point among it.
    pub(crate) fn land(&mut self, number: u64) -> Option<u64> {
        let mut point = None;
        while self.oldest().is_some_and(|oldest| oldest <= number) {
            let mut written = self.written.pop_front().expect("just seen");
            point = written.point.or(point);
            self.released.append(&mut written.held);
        }
        if self.written.is_empty() {
            self.written.shrink_to(4);
        }
        point
    }

    /// Messages may leave.
    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// The messages that may leave now.
    pub(crate) fn take_released(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: u64) -> Message {
        Message(raft::eraftpb::Message { to, ..Default::default() })
    }

    fn out(flight: &mut Flight) -> Vec<u64> {
        flight.take_released().iter().map(|m| m.to().0).collect()
    }

    #[test]
    fn a_followers_message_waits_for_every_write_before_it() {
        let mut flight = Flight::default();
        flight.launch(1, false, None);
        flight.launch(2, false, None);
        flight.send(vec![message(7)], false);
        flight.land(1);
        assert!(!flight.has_released());
        flight.land(2);
        assert_eq!(out(&mut flight), [7]);
    }

    #[test]
    fn a_leaders_message_waits_for_terms_and_votes_only() {
        let mut flight = Flight::default();
        flight.launch(1, true, None);
        flight.launch(2, false, None);
        flight.send(vec![message(7)], true);
        assert!(!flight.has_released());
        flight.land(1);
        assert_eq!(out(&mut flight), [7]);
        flight.send(vec![message(8)], true);
        assert_eq!(out(&mut flight), [8], "entries in flight hold no leader's message");
    }

    #[test]
    fn with_nothing_in_flight_messages_leave_at_once() {
        let mut flight = Flight::default();
        flight.send(vec![message(7)], false);
        assert_eq!(out(&mut flight), [7]);
    }
}
