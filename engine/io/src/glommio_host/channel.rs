//! Channels between cores, over glommio's shared channels. Never clones their queue halves, which is unsound;
//! clones of a sender share one connected end on their core.

use crate::seam::{Receiver, Sender, TrySend};
use glommio::channels::shared_channel::{
    ConnectedReceiver, ConnectedSender, SharedReceiver, SharedSender, new_bounded,
};
use glommio::{GlommioError, ResourceType, timer::Timer};
use std::rc::Rc;
use std::time::Duration;

/// Smaller channels make every message a wake-up of the other core.
const CAPACITY_MIN: usize = 256;
/// How often a full channel is looked at, at first and at last.
const FULL_WAIT_MIN: Duration = Duration::from_micros(10);
const FULL_WAIT_MAX: Duration = Duration::from_micros(500);

/// A sender on its way to its core.
pub struct GlommioTxHalf<T: Send>(SharedSender<T>);

/// A receiver on its way to its core.
pub struct GlommioRxHalf<T: Send>(SharedReceiver<T>);

/// The sending end.
pub struct GlommioSender<T: Send>(Rc<ConnectedSender<T>>);

/// The receiving end.
pub struct GlommioReceiver<T: Send>(ConnectedReceiver<T>);

pub(super) fn channel<T: Send>(capacity: usize) -> (GlommioTxHalf<T>, GlommioRxHalf<T>) {
    let (tx, rx) = new_bounded(capacity.max(CAPACITY_MIN));
    (GlommioTxHalf(tx), GlommioRxHalf(rx))
}

impl<T: Send + 'static> GlommioTxHalf<T> {
    pub(super) async fn connect(self) -> GlommioSender<T> {
        GlommioSender(Rc::new(self.0.connect().await))
    }
}

impl<T: Send + 'static> GlommioRxHalf<T> {
    pub(super) async fn connect(self) -> GlommioReceiver<T> {
        GlommioReceiver(self.0.connect().await)
    }
}

impl<T: Send> Clone for GlommioSender<T> {
    fn clone(&self) -> Self {
        GlommioSender(Rc::clone(&self.0))
    }
}

impl<T: Send + 'static> Sender<T> for GlommioSender<T> {
    fn try_send(&self, value: T) -> Result<(), TrySend<T>> {
        match self.0.try_send(value) {
            Ok(()) => Ok(()),
            Err(GlommioError::WouldBlock(ResourceType::Channel(value))) => Err(TrySend::Full(value)),
            Err(GlommioError::Closed(ResourceType::Channel(value))) => Err(TrySend::Gone(value)),
            Err(_) => unreachable!("a channel is full, closed or takes the value"),
        }
    }

    /// A full channel is looked at again and again: glommio's own wait panics when two tasks wait for one free
    /// place, and never ends when the receiver goes while the channel is full.
    async fn send(&self, value: T) -> Result<(), T> {
        let mut value = value;
        let mut wait = FULL_WAIT_MIN;
        loop {
            value = match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySend::Gone(value)) => return Err(value),
                Err(TrySend::Full(value)) => value,
            };
            Timer::new(wait).await;
            wait = (wait * 2).min(FULL_WAIT_MAX);
        }
    }
}

impl<T: Send + 'static> Receiver<T> for GlommioReceiver<T> {
    async fn recv(&self) -> Option<T> {
        self.0.recv().await
    }
}
