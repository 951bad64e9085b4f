//! Calls that do not need their caller.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A call that goes on in a task of its own if the caller leaves after it has begun. One who stays
/// does not pay for a task.
pub(crate) struct Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `None` when it is over.
    call: Option<Pin<Box<F>>>,
    has_begun: bool,
}

impl<F> Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    pub(crate) fn new(call: F) -> Self {
        Self { call: Some(Box::pin(call)), has_begun: false }
    }
}

impl<F> Future for Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.has_begun = true;
        // One that panics is over.
        let mut call = self.call.take().expect("a future is not polled after its end");
        let outcome = call.as_mut().poll(cx);
        if outcome.is_pending() {
            self.call = Some(call);
        }
        outcome
    }
}

impl<F> Drop for Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Outside of a runtime nothing goes on, as when the runtime ends. What was sent was sent.
        if let Some(call) = self.call.take().filter(|_| self.has_begun)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_call_that_has_begun_goes_on_without_its_caller() {
        let (go, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (waits, ends) = (Arc::clone(&go), Arc::clone(&gone));
        let call = Finish::new(async move {
            waits.notified().await;
            ends.notify_one();
        });
        assert!(timeout(Duration::from_millis(10), call).await.is_err(), "the caller leaves");
        go.notify_one();
        timeout(Duration::from_secs(10), gone.notified()).await.expect("the call went on");
    }

    #[tokio::test]
    async fn a_call_that_has_not_begun_does_not() {
        let shared = Arc::new(());
        let theirs = Arc::clone(&shared);
        drop(Finish::new(async move { drop(theirs) }));
        assert_eq!(Arc::strong_count(&shared), 1);
    }

    #[test]
    fn the_caller_may_leave_outside_of_a_runtime() {
        let shared = Arc::new(());
        let theirs = Arc::clone(&shared);
        let mut call = Box::pin(Finish::new(async move {
            std::future::pending::<()>().await;
            drop(theirs);
        }));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        drop(call);
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
