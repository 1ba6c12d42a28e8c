//! A value that one task of a core gives to another, once.

use flumen_io::local::Notify;
use std::cell::RefCell;
use std::rc::Rc;

struct Inner<T> {
    value: RefCell<Option<T>>,
    ready: Notify,
}

/// Gives the value.
pub struct Giver<T>(Rc<Inner<T>>);

/// Takes the value.
pub struct Taker<T>(Rc<Inner<T>>);

/// A connected pair.
pub fn oneshot<T>() -> (Giver<T>, Taker<T>) {
    let inner = Rc::new(Inner { value: RefCell::new(None), ready: Notify::new() });
    (Giver(inner.clone()), Taker(inner))
}

impl<T> Giver<T> {
    /// Hands the value over.
    pub fn give(self, value: T) {
        *self.0.value.borrow_mut() = Some(value);
        self.0.ready.notify_one();
    }
}

impl<T> Taker<T> {
    /// Waits for the value; `None` when the giver went away without one.
    pub async fn take(self) -> Option<T> {
        loop {
            if let Some(value) = self.0.value.borrow_mut().take() {
                return Some(value);
            }
            if Rc::strong_count(&self.0) == 1 {
                return None;
            }
            self.0.ready.notified().await;
        }
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        // The taker counts references, so it must look again after this one is gone: wake it, it runs later.
        self.0.ready.notify_one();
    }
}
