//! A counter of permits with a queue: first come, first served, on one core. Never starves a large request behind
//! small ones, never loses a permit when a waiter or holder is dropped.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Shared permits.
#[derive(Clone)]
pub(crate) struct Gate {
    state: Rc<RefCell<State>>,
}

struct State {
    total: usize,
    free: usize,
    next_ticket: u64,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    ticket: u64,
    waker: Waker,
}

impl Gate {
    /// A gate with `total` permits, at least one.
    pub(crate) fn new(total: usize) -> Gate {
        let total = total.max(1);
        Gate {
            state: Rc::new(RefCell::new(State {
                total,
                free: total,
                next_ticket: 0,
                waiting: VecDeque::new(),
            })),
        }
    }

    /// Waits for `permits`; more than there are in all counts as all.
    pub(crate) fn enter(&self, permits: usize) -> Enter {
        let permits = permits.min(self.state.borrow().total);
        Enter { gate: self.clone(), permits, ticket: None, done: false }
    }
}

/// The wait for permits.
pub(crate) struct Enter {
    gate: Gate,
    permits: usize,
    ticket: Option<u64>,
    done: bool,
}

impl Future for Enter {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        assert!(!self.done, "a wait that has ended is not polled again");
        let gate = self.gate.clone();
        let mut state = gate.state.borrow_mut();
        let first = match self.ticket {
            Some(ticket) => state.waiting.front().is_some_and(|front| front.ticket == ticket),
            None => state.waiting.is_empty(),
        };
        if first && state.free >= self.permits {
            state.free -= self.permits;
            if self.ticket.take().is_some() {
                state.waiting.pop_front();
                state.wake_first();
            }
            self.done = true;
            drop(state);
            return Poll::Ready(Permit { gate, permits: self.permits });
        }
        let waker = cx.waker().clone();
        match self.ticket {
            Some(ticket) => {
                let waiter = state.waiting.iter_mut().find(|waiter| waiter.ticket == ticket);
                waiter.expect("a waiter stays queued until it enters or is dropped").waker = waker;
            }
            None => {
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting.push_back(Waiter { ticket, waker });
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.gate.state.borrow_mut();
        state.waiting.retain(|waiter| waiter.ticket != ticket);
        // Whoever is first now may already have room.
        state.wake_first();
    }
}

impl State {
    fn wake_first(&self) {
        if let Some(first) = self.waiting.front() {
            first.waker.wake_by_ref();
        }
    }
}

/// Permits in use; they come back when this is dropped.
pub(crate) struct Permit {
    gate: Gate,
    permits: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.state.borrow_mut();
        state.free += self.permits;
        state.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(enter: &mut Enter) -> Option<Permit> {
        match Pin::new(enter).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn permits_are_given_first_come_first_served() {
        let gate = Gate::new(4);
        let held = poll(&mut gate.enter(3)).expect("room");
        let mut large = gate.enter(4);
        let mut small = gate.enter(1);
        assert!(poll(&mut large).is_none());
        assert!(poll(&mut small).is_none(), "one permit is free, but the large one was first");
        drop(held);
        let large = poll(&mut large).expect("everything is free");
        assert!(poll(&mut small).is_none());
        drop(large);
        assert!(poll(&mut small).is_some());
    }

    #[test]
    fn a_dropped_waiter_lets_the_next_one_in() {
        let gate = Gate::new(2);
        let held = poll(&mut gate.enter(1)).expect("room");
        let mut large = gate.enter(2);
        let mut small = gate.enter(1);
        assert!(poll(&mut large).is_none());
        assert!(poll(&mut small).is_none());
        drop(large);
        assert!(poll(&mut small).is_some());
        drop(held);
    }

    #[test]
    fn more_than_there_is_counts_as_all() {
        let gate = Gate::new(2);
        let all = poll(&mut gate.enter(100)).expect("all are free");
        assert!(poll(&mut gate.enter(1)).is_none());
        drop(all);
        assert!(poll(&mut gate.enter(1)).is_some());
    }
}
