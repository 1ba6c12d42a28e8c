//! The simulated executor: all tasks of all cores on one thread. The seed chooses who runs next; time stands
//! still while somebody is ready, but for a few hundred nanoseconds a poll, and then jumps to the next event.
//! Knows nothing of disks or networks, reads no clock.

use super::fate::{Fate, Fault};
use super::rng::Rng;
use super::trace::{Trace, What};
use crate::Mono;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// What a poll costs in simulated nanoseconds, so that a loop that only yields still sees time pass.
const POLL_NANOS: (u64, u64) = (100, 900);

type TaskId = u64;
type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks that were woken. Wakers must be `Send`, hence the lock, which is never contended.
type ReadyList = Arc<Mutex<Vec<TaskId>>>;

struct TaskWaker {
    id: TaskId,
    queued: AtomicBool,
    ready: ReadyList,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().expect("nobody panics under this lock").push(self.id);
        }
    }
}

struct Task {
    core: usize,
    name: &'static str,
    future: Option<TaskFuture>,
    waker: Arc<TaskWaker>,
}

enum Event {
    Wake(Waker),
    Act(Box<dyn FnOnce()>),
    /// A core goes on.
    Unstall(usize),
}

/// A place in the list of events: when, and in which order at the same moment.
pub(super) type EventKey = (u64, u64);

/// When and why a run ends before its mains do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) stop_at: Option<u64>,
    pub(super) stop_after_polls: Option<u64>,
    pub(super) poll_budget: Option<u64>,
}

/// How a run of the simulated machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every main returned.
    Finished,
    /// The stop that the test had set was reached: everything in memory is gone.
    Stopped,
    /// Nothing was ready, no event was due and mains were not done. These tasks wait.
    Deadlock(Vec<String>),
    /// The budget of polls was used up. These tasks were ready.
    OutOfBudget(Vec<String>),
}

pub(super) struct Exec {
    polls: Cell<u64>,
    mains_left: Cell<usize>,
    rng: RefCell<Rng>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    events: RefCell<BTreeMap<EventKey, Event>>,
    next_task: Cell<TaskId>,
    next_event: Cell<u64>,
    ready: ReadyList,
    /// The cores that stall, each with its tasks that are ready meanwhile.
    stalled: RefCell<BTreeMap<usize, Vec<TaskId>>>,
    over: Cell<bool>,
    fired: Cell<u64>,
    pub(super) trace: Rc<Trace>,
    pub(super) fate: Rc<Fate>,
}

impl Exec {
    pub(super) fn new(rng: Rng, trace: Rc<Trace>, fate: Rc<Fate>) -> Rc<Exec> {
        Rc::new(Exec {
            polls: Cell::new(0),
            mains_left: Cell::new(0),
            rng: RefCell::new(rng),
            tasks: RefCell::default(),
            events: RefCell::default(),
            next_task: Cell::new(0),
            next_event: Cell::new(0),
            ready: ReadyList::default(),
            stalled: RefCell::default(),
            over: Cell::new(false),
            fired: Cell::new(0),
            trace,
            fate,
        })
    }

    pub(super) fn now(&self) -> Mono {
        Mono(self.fate.now())
    }

    pub(super) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// Polls, and events that came due: operations of the disk done, bytes arrived, timers.
    pub(super) fn events(&self) -> u64 {
        self.polls.get() + self.fired.get()
    }

    pub(super) fn entropy(&self) -> u64 {
        self.rng.borrow_mut().next()
    }

    pub(super) fn add_main(self: &Rc<Exec>, core: usize, future: impl Future<Output = ()> + 'static) {
        self.mains_left.set(self.mains_left.get() + 1);
        let exec = Rc::downgrade(self);
        let counted = async move {
            future.await;
            if let Some(exec) = exec.upgrade() {
                exec.mains_left.set(exec.mains_left.get() - 1);
            }
        };
        self.add_task(core, "main", Box::pin(counted));
    }

    pub(super) fn spawn<F>(&self, core: usize, future: F) -> OpWait<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let op = Rc::new(Op::default());
        let done = Rc::clone(&op);
        self.add_task(core, std::any::type_name::<F>(), Box::pin(async move { done.finish(future.await) }));
        OpWait(op)
    }

    fn add_task(&self, core: usize, name: &'static str, future: TaskFuture) {
        if self.over.get() {
            return;
        }
        let id = self.next_task.get();
        self.next_task.set(id + 1);
        let waker =
            Arc::new(TaskWaker { id, queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
        waker.wake_by_ref();
        self.tasks.borrow_mut().insert(id, Task { core, name, future: Some(future), waker });
    }

    /// Runs `act` after `delay_nanos` of simulated time, whoever waits for it or not.
    pub(super) fn act_after(&self, delay_nanos: u64, act: impl FnOnce() + 'static) {
        self.add_event(delay_nanos, Event::Act(Box::new(act)));
    }

    /// Wakes after `delay_nanos`.
    pub(super) fn wake_after(&self, delay_nanos: u64, waker: Waker) -> EventKey {
        self.add_event(delay_nanos, Event::Wake(waker))
    }

    /// An operation that takes effect and completes after `delay_nanos`, waited for or not.
    pub(super) fn complete_after<T: 'static>(
        &self,
        delay_nanos: u64,
        effect: impl FnOnce() -> T + 'static,
    ) -> OpWait<T> {
        let op = Rc::new(Op::default());
        let done = Rc::clone(&op);
        self.act_after(delay_nanos, move || done.finish(effect()));
        OpWait(op)
    }

    fn add_event(&self, delay_nanos: u64, event: Event) -> EventKey {
        let key = (self.fate.now().saturating_add(delay_nanos), self.next_event.get());
        self.next_event.set(key.1 + 1);
        self.events.borrow_mut().insert(key, event);
        key
    }

    pub(super) fn cancel(&self, key: EventKey) {
        let event = self.events.borrow_mut().remove(&key);
        drop(event);
    }

    /// Runs until the mains are done or something else ends it; then drops every task, in order of birth.
    pub(super) fn run(&self, bounds: Bounds) -> Outcome {
        let guard = Clearing(self);
        let outcome = self.run_loop(bounds);
        drop(guard);
        outcome
    }

    fn run_loop(&self, bounds: Bounds) -> Outcome {
        loop {
            if self.mains_left.get() == 0 {
                return Outcome::Finished;
            }
            if bounds.stop_at.is_some_and(|at| self.fate.now() >= at)
                || bounds.stop_after_polls.is_some_and(|polls| self.polls.get() >= polls)
            {
                return Outcome::Stopped;
            }
            if bounds.poll_budget.is_some_and(|polls| self.polls.get() >= polls) {
                return Outcome::OutOfBudget(self.ready_names());
            }
            if self.fire_due() {
                continue;
            }
            match self.pick_ready() {
                Some(id) if self.put_aside(id) => {}
                Some(id) => self.poll(id),
                None if self.jump(bounds.stop_at) => {}
                None => return Outcome::Deadlock(self.names(|_| true)),
            }
        }
    }

    /// Runs the first event that is due.
    fn fire_due(&self) -> bool {
        let event = {
            let mut events = self.events.borrow_mut();
            match events.first_entry() {
                Some(entry) if entry.key().0 <= self.fate.now() => entry.remove(),
                _ => return false,
            }
        };
        self.fired.set(self.fired.get() + 1);
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Act(act) => act(),
            Event::Unstall(core) => self.unstall(core),
        }
        true
    }

    /// Jumps to the next event, but not past the moment of the stop.
    fn jump(&self, stop_at: Option<u64>) -> bool {
        let Some(next) = self.events.borrow().keys().next().map(|key| key.0) else { return false };
        self.fate.set_now(next.min(stop_at.unwrap_or(u64::MAX)).max(self.fate.now()));
        true
    }

    fn pick_ready(&self) -> Option<TaskId> {
        let mut ready = self.ready.lock().expect("nobody panics under this lock");
        if ready.is_empty() {
            return None;
        }
        let place = self.rng.borrow_mut().below(ready.len() as u64) as usize;
        Some(ready.swap_remove(place))
    }

    /// Puts a ready task aside when its core stalls, or begins to.
    fn put_aside(&self, id: TaskId) -> bool {
        let chance = self.fate.faults().cores.stall;
        if chance.per_million == 0 && self.stalled.borrow().is_empty() {
            return false;
        }
        let Some(core) = self.tasks.borrow().get(&id).map(|task| task.core) else { return false };
        if let Some(aside) = self.stalled.borrow_mut().get_mut(&core) {
            aside.push(id);
            return true;
        }
        if !self.fate.draws(Fault::CoreStall, chance) {
            return false;
        }
        let nanos = self.fate.tail_nanos(Fault::CoreStall, self.fate.faults().cores.stall_most);
        self.fate.happened(Fault::CoreStall, nanos, || format!("core {core} for {} ms", nanos / 1_000_000));
        self.stalled.borrow_mut().insert(core, vec![id]);
        self.add_event(nanos, Event::Unstall(core));
        true
    }

    fn unstall(&self, core: usize) {
        let aside = self.stalled.borrow_mut().remove(&core).unwrap_or_default();
        self.ready.lock().expect("nobody panics under this lock").extend(aside);
    }

    fn poll(&self, id: TaskId) {
        let (mut future, waker, core) = {
            let mut tasks = self.tasks.borrow_mut();
            // A task may be woken after its end; then there is nothing to do.
            let Some(task) = tasks.get_mut(&id) else { return };
            task.waker.queued.store(false, Ordering::Relaxed);
            let future = task.future.take().expect("only this loop takes futures, and it puts them back");
            self.trace.event(What::Poll, id, task.core as u64);
            (future, Arc::clone(&task.waker), task.core)
        };
        let cost = self.rng.borrow_mut().between(POLL_NANOS.0, POLL_NANOS.1);
        self.fate.set_now(self.fate.now() + cost);
        self.polls.set(self.polls.get() + 1);
        let waker = Waker::from(waker);
        self.fate.story.set_core(Some(core));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        self.fate.story.set_core(None);
        match polled {
            Poll::Ready(()) => {
                let task = self.tasks.borrow_mut().remove(&id);
                drop((future, task));
            }
            Poll::Pending => {
                if let Some(task) = self.tasks.borrow_mut().get_mut(&id) {
                    task.future = Some(future);
                }
            }
        }
    }

    fn ready_names(&self) -> Vec<String> {
        self.names(|task| task.waker.queued.load(Ordering::Relaxed))
    }

    fn names(&self, which: impl Fn(&Task) -> bool) -> Vec<String> {
        let tasks = self.tasks.borrow();
        let chosen = tasks.iter().filter(|(_, task)| which(task));
        chosen.map(|(id, task)| format!("core {} task {id} {}", task.core, task.name)).collect()
    }

    /// The memory of the machine is gone: drops events and tasks. What they spawn or start meanwhile is not run.
    fn clear(&self) {
        self.over.set(true);
        let events = std::mem::take(&mut *self.events.borrow_mut());
        drop(events);
        while let Some((_, task)) = { self.tasks.borrow_mut().pop_first() } {
            drop(task);
        }
        let late = std::mem::take(&mut *self.events.borrow_mut());
        drop(late);
    }
}

/// Clears on every way out, a panic of a task included: tasks hold the executor, and would keep it for ever.
struct Clearing<'a>(&'a Exec);

impl Drop for Clearing<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// The place where an operation leaves its result.
struct Op<T> {
    result: RefCell<Option<T>>,
    waiter: RefCell<Option<Waker>>,
}

impl<T> Default for Op<T> {
    fn default() -> Self {
        Op { result: RefCell::new(None), waiter: RefCell::new(None) }
    }
}

impl<T> Op<T> {
    fn finish(&self, value: T) {
        *self.result.borrow_mut() = Some(value);
        let waiter = self.waiter.borrow_mut().take();
        if let Some(waker) = waiter {
            waker.wake();
        }
    }
}

/// Waits for an operation or a task. Dropping it drops only the wait.
pub(super) struct OpWait<T>(Rc<Op<T>>);

impl<T> Future for OpWait<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = self.0.result.borrow_mut().take() {
            return Poll::Ready(value);
        }
        *self.0.waiter.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Waits until a moment.
pub(super) struct Sleep {
    exec: Rc<Exec>,
    until: u64,
    event: Option<EventKey>,
}

impl Sleep {
    /// Waits so many nanoseconds of simulated time from now on.
    pub(super) fn new(exec: Rc<Exec>, nanos: u64) -> Sleep {
        let until = exec.fate.now().saturating_add(nanos);
        Sleep { exec, until, event: None }
    }

    fn forget(&mut self) {
        if let Some(key) = self.event.take() {
            self.exec.cancel(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.forget();
        let now = self.exec.now().0;
        if now >= self.until {
            return Poll::Ready(());
        }
        let key = self.exec.wake_after(self.until - now, cx.waker().clone());
        self.event = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}
