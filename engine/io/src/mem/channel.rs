//! Channels between simulated cores: bounded, ordered, connected from both sides before either may use them.
//! Values may be late, never lost and never out of order.

use super::exec::Exec;
use super::fate::Fault;
use crate::seam::{Receiver, Sender, TrySend};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

struct State<T> {
    /// With the moment at which each arrives.
    queue: VecDeque<(u64, T)>,
    last_arrival: u64,
    capacity: usize,
    sender_connected: bool,
    receiver_connected: bool,
    senders: usize,
    receiver_gone: bool,
    wakers: Vec<Waker>,
}

impl<T> State<T> {
    fn has_arrived(&self, now: u64) -> bool {
        self.queue.front().is_some_and(|(arrives, _)| *arrives <= now)
    }

    fn is_over(&self) -> bool {
        self.queue.is_empty() && self.senders == 0
    }
}

/// Halves travel between cores and must be `Send`, hence the lock, which is never contended.
struct Channel<T>(Arc<Mutex<State<T>>>);

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Channel(Arc::clone(&self.0))
    }
}

impl<T> Channel<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().expect("nobody panics under this lock")
    }

    /// Changes the state and wakes everybody who waits on it.
    fn change<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        let (result, wakers) = {
            let mut state = self.state();
            (change(&mut state), std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    fn poll<R>(&self, cx: &Context<'_>, ready: impl FnOnce(&State<T>) -> Option<R>) -> Poll<R> {
        let mut state = self.state();
        match ready(&state) {
            Some(value) => Poll::Ready(value),
            None => {
                state.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Counts as one of the senders while it lives.
struct Tx<T>(Channel<T>);

impl<T> Clone for Tx<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Tx(self.0.clone())
    }
}

impl<T> Drop for Tx<T> {
    fn drop(&mut self) {
        self.0.change(|state| state.senders -= 1);
    }
}

/// The receiver is there while this lives.
struct Rx<T>(Channel<T>);

impl<T> Drop for Rx<T> {
    fn drop(&mut self) {
        let left = self.0.change(|state| {
            state.receiver_gone = true;
            std::mem::take(&mut state.queue)
        });
        drop(left);
    }
}

/// A sender on its way to its core.
pub struct MemTxHalf<T>(Tx<T>);

/// A receiver on its way to its core.
pub struct MemRxHalf<T>(Rx<T>);

/// The sending end.
pub struct MemSender<T> {
    tx: Tx<T>,
    exec: Rc<Exec>,
}

/// The receiving end.
pub struct MemReceiver<T> {
    rx: Rx<T>,
    exec: Rc<Exec>,
}

pub(super) fn channel<T>(capacity: usize) -> (MemTxHalf<T>, MemRxHalf<T>) {
    let channel = Channel(Arc::new(Mutex::new(State {
        queue: VecDeque::new(),
        last_arrival: 0,
        capacity: capacity.max(1),
        sender_connected: false,
        receiver_connected: false,
        senders: 1,
        receiver_gone: false,
        wakers: Vec::new(),
    })));
    (MemTxHalf(Tx(channel.clone())), MemRxHalf(Rx(channel)))
}

impl<T> MemTxHalf<T> {
    pub(super) async fn connect(self, exec: Rc<Exec>) -> MemSender<T> {
        let channel = &self.0.0;
        channel.change(|state| state.sender_connected = true);
        poll_fn(|cx| channel.poll(cx, |s| (s.receiver_connected || s.receiver_gone).then_some(()))).await;
        MemSender { tx: self.0, exec }
    }
}

impl<T> MemRxHalf<T> {
    pub(super) async fn connect(self, exec: Rc<Exec>) -> MemReceiver<T> {
        let channel = &self.0.0;
        channel.change(|state| state.receiver_connected = true);
        poll_fn(|cx| channel.poll(cx, |s| (s.sender_connected || s.senders == 0).then_some(()))).await;
        MemReceiver { rx: self.0, exec }
    }
}

/// How late a value is, in nanoseconds.
fn lateness(exec: &Exec) -> u64 {
    let fate = &exec.fate;
    let chance = fate.faults().cores.late_message;
    if !fate.draws(Fault::LateMessage, chance) {
        return 0;
    }
    let nanos = fate.tail_nanos(Fault::LateMessage, fate.faults().cores.late_message_most);
    fate.happened(Fault::LateMessage, nanos, || format!("{} ms late", nanos / 1_000_000));
    nanos
}

impl<T: Send + 'static> MemSender<T> {
    fn push(&self, value: T) {
        let now = self.exec.now().0;
        let late = lateness(&self.exec);
        let arrives = {
            let mut state = self.tx.0.state();
            let arrives = state.last_arrival.max(now.saturating_add(late));
            // Whoever comes behind a late one arrives with it, at the moment that is in the list already.
            let is_new = arrives > now && arrives > state.last_arrival;
            state.last_arrival = arrives;
            is_new.then_some(arrives)
        };
        self.tx.0.change(|state| state.queue.push_back((state.last_arrival, value)));
        if let Some(arrives) = arrives {
            let channel = self.tx.0.clone();
            self.exec.act_after(arrives - now, move || channel.change(|_| ()));
        }
    }
}

impl<T: Send + 'static> Sender<T> for MemSender<T> {
    fn try_send(&self, value: T) -> Result<(), TrySend<T>> {
        let state = self.tx.0.state();
        if state.receiver_gone {
            return Err(TrySend::Gone(value));
        }
        // A refusal wakes nobody, else senders that wait would wake each other for ever.
        if state.queue.len() >= state.capacity {
            return Err(TrySend::Full(value));
        }
        drop(state);
        self.push(value);
        Ok(())
    }

    async fn send(&self, value: T) -> Result<(), T> {
        let channel = &self.tx.0;
        let mut value = value;
        loop {
            value = match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySend::Gone(value)) => return Err(value),
                Err(TrySend::Full(value)) => value,
            };
            poll_fn(|cx| channel.poll(cx, |s| (s.receiver_gone || s.queue.len() < s.capacity).then_some(())))
                .await;
        }
    }
}

impl<T: Send + 'static> Receiver<T> for MemReceiver<T> {
    async fn recv(&self) -> Option<T> {
        let channel = &self.rx.0;
        poll_fn(|cx| {
            let now = self.exec.now().0;
            channel.poll(cx, |s| (s.has_arrived(now) || s.is_over()).then_some(()))
        })
        .await;
        channel.change(|state| state.queue.pop_front()).map(|(_, value)| value)
    }
}

impl<T> Clone for MemSender<T> {
    fn clone(&self) -> Self {
        MemSender { tx: self.tx.clone(), exec: Rc::clone(&self.exec) }
    }
}
