//! Channels between simulated cores: bounded, ordered, connected from both sides before either may use them.

use crate::seam::{Receiver, Sender, TrySend};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    sender_connected: bool,
    receiver_connected: bool,
    senders: usize,
    receiver_gone: bool,
    wakers: Vec<Waker>,
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

/// A sender on its way to its core.
pub struct MemTxHalf<T>(MemSender<T>);

/// A receiver on its way to its core.
pub struct MemRxHalf<T>(MemReceiver<T>);

/// The sending end.
pub struct MemSender<T>(Channel<T>);

/// The receiving end.
pub struct MemReceiver<T>(Channel<T>);

pub(super) fn channel<T>(capacity: usize) -> (MemTxHalf<T>, MemRxHalf<T>) {
    let channel = Channel(Arc::new(Mutex::new(State {
        queue: VecDeque::new(),
        capacity: capacity.max(1),
        sender_connected: false,
        receiver_connected: false,
        senders: 1,
        receiver_gone: false,
        wakers: Vec::new(),
    })));
    (MemTxHalf(MemSender(channel.clone())), MemRxHalf(MemReceiver(channel)))
}

impl<T> MemTxHalf<T> {
    pub(super) async fn connect(self) -> MemSender<T> {
        let channel = &self.0.0;
        channel.change(|state| state.sender_connected = true);
        poll_fn(|cx| channel.poll(cx, |s| (s.receiver_connected || s.receiver_gone).then_some(()))).await;
        self.0
    }
}

impl<T> MemRxHalf<T> {
    pub(super) async fn connect(self) -> MemReceiver<T> {
        let channel = &self.0.0;
        channel.change(|state| state.receiver_connected = true);
        poll_fn(|cx| channel.poll(cx, |s| (s.sender_connected || s.senders == 0).then_some(()))).await;
        self.0
    }
}

impl<T: Send + 'static> Sender<T> for MemSender<T> {
    fn try_send(&self, value: T) -> Result<(), TrySend<T>> {
        let state = self.0.state();
        if state.receiver_gone {
            return Err(TrySend::Gone(value));
        }
        // A refusal wakes nobody, else senders that wait would wake each other for ever.
        if state.queue.len() >= state.capacity {
            return Err(TrySend::Full(value));
        }
        drop(state);
        self.0.change(|state| state.queue.push_back(value));
        Ok(())
    }

    async fn send(&self, value: T) -> Result<(), T> {
        let mut value = value;
        loop {
            value = match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySend::Gone(value)) => return Err(value),
                Err(TrySend::Full(value)) => value,
            };
            poll_fn(|cx| self.0.poll(cx, |s| (s.receiver_gone || s.queue.len() < s.capacity).then_some(())))
                .await;
        }
    }
}

impl<T: Send + 'static> Receiver<T> for MemReceiver<T> {
    async fn recv(&self) -> Option<T> {
        poll_fn(|cx| self.0.poll(cx, |s| (!s.queue.is_empty() || s.senders == 0).then_some(()))).await;
        self.0.change(|state| state.queue.pop_front())
    }
}

impl<T> Clone for MemSender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        MemSender(self.0.clone())
    }
}

impl<T> Drop for MemSender<T> {
    fn drop(&mut self) {
        self.0.change(|state| state.senders -= 1);
    }
}

impl<T> Drop for MemReceiver<T> {
    fn drop(&mut self) {
        let left = self.0.change(|state| {
            state.receiver_gone = true;
            std::mem::take(&mut state.queue)
        });
        drop(left);
    }
}
