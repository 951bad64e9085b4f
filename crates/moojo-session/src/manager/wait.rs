//! Waiting for a login.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::Inner;
use super::slot::{Slot, SlotRef};
use crate::error::{Error, Limit};
use crate::session::Session;

impl Inner {
    pub(super) async fn wait(
        self: &Arc<Self>,
        slot: &SlotRef,
        timeout: Duration,
    ) -> Result<Session, Error> {
        // Who need not wait takes nobody's place.
        if let Some(session) = slot.live(self.now(), self.epoch()) {
            return Ok(session);
        }
        let waiter = Waiter::join(self, slot)?;
        let mut deadline = self.clock.sleep(timeout);
        let mut over = false;
        loop {
            // Registered before the look, and so before anybody is prompted (rule 11): what
            // arrives after the look wakes this waiter.
            let mut arrival = pin!(waiter.arrivals.notified());
            arrival.as_mut().enable();
            let mut gap = pin!(self.gaps.notified());
            gap.as_mut().enable();
            match self.get(slot).await {
                Err(Error::ReauthRequired(signal)) if over => {
                    return Err(signal.with_waited(timeout).into());
                }
                Err(Error::ReauthRequired(_)) => {}
                other => return other,
            }
            over = poll_fn(|cx| {
                if arrival.as_mut().poll(cx).is_ready() || gap.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(false);
                }
                deadline.as_mut().poll(cx).map(|()| true)
            })
            .await;
        }
    }
}

/// A place among those who wait; given back when it is dropped.
struct Waiter<'a> {
    manager: &'a Inner,
    slot: &'a Slot,
    arrivals: Arc<Notify>,
}

impl<'a> Waiter<'a> {
    fn join(manager: &'a Inner, slot: &'a Slot) -> Result<Self, Error> {
        let (all, of_user) = (manager.max_waiters, manager.max_waiters_per_user);
        let one_more = |waiting| (waiting < all).then_some(waiting + 1);
        if manager.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Err(Error::Overloaded { limit: Limit::Waiters(all) });
        }
        match slot.lock().join(of_user) {
            Some(arrivals) => Ok(Self { manager, slot, arrivals }),
            None => {
                manager.waiting.fetch_sub(1, Ordering::Relaxed);
                Err(Error::Overloaded { limit: Limit::WaitersOfUser(of_user) })
            }
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.manager.waiting.fetch_sub(1, Ordering::Relaxed);
        self.slot.lock().leave();
    }
}
