//! An internal group whose state is a machine of committed commands: metadata, positions. The same Raft driver and
//! the same log as a partition; its checkpoints hold the whole state. It decides nothing that the machine decides.

use crate::oneshot::{Giver, Taker, oneshot};
use bytes::Bytes;
use flumen_io::Host;
use flumen_log::GroupLog;
use flumen_model::{Code, Error, Result};
use flumen_replication::{Driver, Entry, EntryKind};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// A deterministic state machine: the same commands in the same order give the same state and the same answers.
pub trait StateMachine {
    /// What a command's proposer is told.
    type Outcome: 'static;

    /// Applies a committed command.
    fn apply(&mut self, index: u64, command: &[u8]) -> Self::Outcome;

    /// The whole state as versioned bytes.
    fn snapshot(&self) -> Bytes;
}

fn damaged() -> Error {
    Error::new(
        Code::Corrupt,
        "what the node keeps of its own here is damaged: see `flumen check`; restore it from a copy",
    )
}

struct Waiter<T> {
    index: u64,
    giver: Giver<Result<T>>,
}

/// One internal group.
pub struct StateGroup<H: Host, M: StateMachine> {
    pub(crate) log: Rc<GroupLog<H>>,
    pub(crate) driver: RefCell<Option<Driver>>,
    machine: RefCell<M>,
    waiters: RefCell<VecDeque<Waiter<M::Outcome>>>,
    pub(crate) dirty: Cell<bool>,
}

impl<H: Host, M: StateMachine> StateGroup<H, M> {
    pub(crate) fn new(log: Rc<GroupLog<H>>, driver: Option<Driver>, machine: M) -> StateGroup<H, M> {
        StateGroup {
            log,
            driver: RefCell::new(driver),
            machine: RefCell::new(machine),
            waiters: RefCell::default(),
            dirty: Cell::new(false),
        }
    }

    /// Whether its log is damaged: then its state ends at the damage, and nothing more is committed to it.
    pub fn is_damaged(&self) -> bool {
        self.driver.borrow().is_none()
    }

    /// Looks at the committed state, for somebody who must not be told half of it.
    ///
    /// # Errors
    /// [`Code::Corrupt`] when the group is damaged.
    pub fn read<T>(&self, look: impl FnOnce(&M) -> T) -> Result<T> {
        if self.is_damaged() { Err(damaged()) } else { Ok(self.with(look)) }
    }

    /// Looks at the committed state.
    pub fn with<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.machine.borrow())
    }

    /// Whether this node leads the group and has applied everything before its term: then the state is current.
    pub fn is_serving(&self) -> bool {
        self.driver
            .borrow()
            .as_ref()
            .is_some_and(|driver| driver.is_leader() && self.log.state().start.term == driver.term())
    }

    pub(crate) fn snapshot(&self) -> Bytes {
        self.machine.borrow().snapshot()
    }

    /// Proposes a command; the outcome comes when it is committed and applied.
    pub(crate) fn propose(&self, command: Bytes) -> Result<Taker<Result<M::Outcome>>> {
        let mut driver = self.driver.borrow_mut();
        let driver = driver.as_mut().ok_or_else(damaged)?;
        let index = driver.propose(EntryKind::Command, command).map_err(|_| {
            Error::new(Code::NotReady, "the node has no metadata leader yet: try again after a moment")
        })?;
        let (giver, taker) = oneshot();
        self.waiters.borrow_mut().push_back(Waiter { index: index.0, giver });
        Ok(taker)
    }

    pub(crate) fn committed(&self, entry: &Entry) {
        if entry.kind != EntryKind::Command {
            return;
        }
        let outcome = self.machine.borrow_mut().apply(entry.index.0, &entry.data);
        let waiter = self.waiters.borrow_mut().pop_front_if(|waiter| waiter.index <= entry.index.0);
        if let Some(waiter) = waiter {
            debug_assert_eq!(waiter.index, entry.index.0, "every proposal is answered by its own entry");
            waiter.giver.give(Ok(outcome));
        }
    }
}
