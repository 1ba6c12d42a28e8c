//! Waiting on one core: a wake-up without allocation, a queue, the first of two futures, a time limit. Plain
//! `Rc` and `Cell` on any host. Never crosses cores and never blocks; no borrow lives across a wait or a wake.

use crate::Host;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What a race brought: the output of the one that was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first future was first.
    Left(A),
    /// The second future was first.
    Right(B),
}

/// The first of two to be done; the other is dropped. The first one wins a draw, so put what must not starve
/// there. Only for futures that may be dropped at any wait.
pub async fn select2<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Either<A, B> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|cx| {
        if let Poll::Ready(value) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        b.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Both, at the same time.
pub async fn join2<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let mut a = pin!(a);
    let mut b = pin!(b);
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            second = Some(value);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.expect("the loop ends with both"), second.expect("the loop ends with both"))
}

/// A wait ran out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ran out of time")
    }
}

impl std::error::Error for Elapsed {}

/// The future's output, unless `limit` is over first; then it is dropped. A future that is done when the limit
/// is over still wins.
pub async fn timeout<H: Host, T>(
    host: &H,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    match select2(future, host.sleep(limit)).await {
        Either::Left(value) => Ok(value),
        Either::Right(()) => Err(Elapsed),
    }
}

/// Wakes waiting tasks of one core, in the order in which they began to wait. A wake allocates nothing, a wait
/// only while the number of waiters grows.
#[derive(Default)]
pub struct Notify {
    waiters: RefCell<VecDeque<(u64, Waker)>>,
    next_id: Cell<u64>,
    permit: Cell<bool>,
    rounds: Cell<u64>,
}

impl Notify {
    /// With nobody waiting and no permit.
    pub fn new() -> Notify {
        Notify::default()
    }

    /// Wakes the task that waits longest. With nobody waiting, the next wait ends at once (one permit, however
    /// often this is called).
    pub fn notify_one(&self) {
        let first = self.waiters.borrow_mut().pop_front();
        match first {
            Some((_, waker)) => waker.wake(),
            None => self.permit.set(true),
        }
    }

    /// Wakes every wait that has begun, and leaves no permit.
    pub fn notify_all(&self) {
        self.rounds.set(self.rounds.get() + 1);
        let end = self.next_id.get();
        while let Some(waker) = self.pop_before(end) {
            waker.wake();
        }
    }

    /// Waits for the next wake-up. It counts for [`Notify::notify_all`] from this call on, for
    /// [`Notify::notify_one`] from its first poll on. Dropped, it passes an unused wake-up on.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, id: None, round: self.rounds.get(), done: false }
    }

    fn pop_before(&self, end: u64) -> Option<Waker> {
        let mut waiters = self.waiters.borrow_mut();
        if waiters.front().is_some_and(|(id, _)| *id < end) {
            return waiters.pop_front().map(|(_, waker)| waker);
        }
        None
    }

    fn wait(&self, waker: &Waker) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.waiters.borrow_mut().push_back((id, waker.clone()));
        id
    }

    /// Whether the waiter still waits; its waker is then the newest.
    fn still_waits(&self, id: u64, waker: &Waker) -> bool {
        let mut waiters = self.waiters.borrow_mut();
        match waiters.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(place) => {
                waiters[place].1.clone_from(waker);
                true
            }
            Err(_) => false,
        }
    }

    fn forget(&self, id: u64) -> bool {
        let mut waiters = self.waiters.borrow_mut();
        match waiters.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(place) => waiters.remove(place).is_some(),
            Err(_) => false,
        }
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notify({} waiting)", self.waiters.borrow().len())
    }
}

/// The wait of [`Notify::notified`].
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    id: Option<u64>,
    round: u64,
    done: bool,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ready = match self.id {
            _ if self.round != self.notify.rounds.get() => true,
            Some(id) => !self.notify.still_waits(id, cx.waker()),
            None if self.notify.permit.replace(false) => true,
            None => {
                self.id = Some(self.notify.wait(cx.waker()));
                false
            }
        };
        if !ready {
            return Poll::Pending;
        }
        self.done = true;
        Poll::Ready(())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        if self.done || self.notify.forget(id) {
            return;
        }
        // Woken and dropped before it ran. By `notify_all`, nobody is missing it; by `notify_one`, the wake-up
        // belongs to the next in line.
        if self.round == self.notify.rounds.get() {
            self.notify.notify_one();
        }
    }
}

struct QueueState<T> {
    items: RefCell<VecDeque<T>>,
    capacity: usize,
    closed: Cell<bool>,
    filled: Notify,
    freed: Notify,
}

/// A first-in-first-out queue between tasks of one core. Clones share it.
pub struct LocalQueue<T>(Rc<QueueState<T>>);

impl<T> Clone for LocalQueue<T> {
    fn clone(&self) -> Self {
        LocalQueue(Rc::clone(&self.0))
    }
}

impl<T> LocalQueue<T> {
    /// Holds at most `capacity` items; memory grows with what it holds.
    pub fn bounded(capacity: usize) -> LocalQueue<T> {
        assert!(capacity > 0, "a queue without room never moves");
        LocalQueue(Rc::new(QueueState {
            items: RefCell::new(VecDeque::new()),
            capacity,
            closed: Cell::new(false),
            filled: Notify::new(),
            freed: Notify::new(),
        }))
    }

    /// Holds any number; its writers are bounded by something else.
    pub fn unbounded() -> LocalQueue<T> {
        LocalQueue::bounded(usize::MAX)
    }

    /// Adds an item now, or gives it back when the queue is full or closed.
    pub fn try_push(&self, item: T) -> Result<(), T> {
        if self.is_closed() || self.len() >= self.0.capacity {
            return Err(item);
        }
        self.0.items.borrow_mut().push_back(item);
        self.0.filled.notify_one();
        Ok(())
    }

    /// Adds an item, waiting for room; gives it back when the queue is closed.
    pub async fn push(&self, item: T) -> Result<(), T> {
        let mut item = item;
        loop {
            item = match self.try_push(item) {
                Ok(()) => return Ok(()),
                Err(item) if self.is_closed() => return Err(item),
                Err(item) => item,
            };
            self.0.freed.notified().await;
        }
    }

    /// Takes the oldest item, if there is one.
    pub fn try_pop(&self) -> Option<T> {
        let item = self.0.items.borrow_mut().pop_front()?;
        self.0.freed.notify_one();
        Some(item)
    }

    /// The oldest item, waiting for one; `None` when the queue is closed and empty. May be dropped at any time.
    pub async fn pop(&self) -> Option<T> {
        loop {
            if let Some(item) = self.try_pop() {
                return Some(item);
            }
            if self.is_closed() {
                return None;
            }
            self.0.filled.notified().await;
        }
    }

    /// Takes no more items; what is inside can still be popped. Wakes everybody.
    pub fn close(&self) {
        self.0.closed.set(true);
        self.0.filled.notify_all();
        self.0.freed.notify_all();
    }

    /// Whether [`LocalQueue::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.0.items.borrow().len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> fmt::Debug for LocalQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalQueue({} items)", self.len())
    }
}
