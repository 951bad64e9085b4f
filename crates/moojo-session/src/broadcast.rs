//! A broadcast channel's receiving end as a stream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::broadcast::{self, error::RecvError};

type Received<T> = (Result<T, RecvError>, broadcast::Receiver<T>);

/// Everything sent from now on. A sender never waits for it: what this reader was too slow for is
/// lost to it, and it is told so by the item that `lagged` makes of the number of losses.
pub(crate) struct Subscription<T> {
    next: Pin<Box<dyn Future<Output = Received<T>> + Send>>,
    lagged: fn(u64) -> T,
}

impl<T: Clone + Send + 'static> Subscription<T> {
    pub(crate) fn new(sender: &broadcast::Sender<T>, lagged: fn(u64) -> T) -> Self {
        Self { next: Box::pin(receive(sender.subscribe())), lagged }
    }
}

async fn receive<T: Clone>(mut receiver: broadcast::Receiver<T>) -> Received<T> {
    (receiver.recv().await, receiver)
}

impl<T: Clone + Send + 'static> Stream for Subscription<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let (received, receiver) = ready!(self.next.as_mut().poll(cx));
        let item = match received {
            Ok(item) => item,
            Err(RecvError::Lagged(missed)) => (self.lagged)(missed),
            Err(RecvError::Closed) => {
                // Polled again, the closed channel says the same.
                self.next = Box::pin(receive(receiver));
                return Poll::Ready(None);
            }
        };
        self.next = Box::pin(receive(receiver));
        Poll::Ready(Some(item))
    }
}
