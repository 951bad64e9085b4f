//! Listening to the store's change feed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Inner;
use crate::store::{Change, ChangeStream};
use crate::sync::{JoinHandle, Mutex, spawn};
use crate::user::UserId;

/// The task that listens. It ends with the manager.
#[derive(Default)]
pub(super) struct Feed(Mutex<Listening>);

#[derive(Default)]
enum Listening {
    #[default]
    NotYet,
    /// The store has no feed, or it has ended.
    Never,
    Task(JoinHandle<()>),
}

impl Inner {
    /// Sees to it that the change feed is listened to: from the first use on, and again if the
    /// runtime that did so has gone.
    pub(super) fn listen(self: &Arc<Self>) {
        let mut listening = self.feed.0.lock();
        match &*listening {
            Listening::Never => return,
            Listening::Task(task) if !task.is_finished() => return,
            Listening::NotYet | Listening::Task(_) => {}
        }
        let changes = self.store.changes();
        *listening = if changes.is_none() {
            Listening::Never
        } else {
            Listening::Task(spawn(follow(Arc::downgrade(self), changes)))
        };
    }

    /// Puts all that is known in doubt, and has those who wait look again.
    fn changes_missed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.gaps.notify_waiters();
    }

    fn apply(self: &Arc<Self>, change: Change) {
        match change {
            Change::Saved { user, id } => {
                let slot = self.table.get(&user);
                if slot.is_none_or(|slot| slot.lock().saved_somewhere(id)) {
                    self.unschedule(&user);
                    self.look_for(user);
                }
            }
            Change::Removed { user } => {
                self.unschedule(&user);
                if let Some(slot) = self.table.get(&user) {
                    slot.lock().doubt();
                }
            }
            Change::Lagged | Change::Disconnected => self.changes_missed(),
        }
    }

    /// Has a user who is asked to log in looked up, who seems to have done so in another process:
    /// what is found ends the request.
    fn look_for(self: &Arc<Self>, user: UserId) {
        if !self.queue.has(&user) {
            return;
        }
        if let Ok(slot) = self.table.pin(&user, self.now().seconds()) {
            let manager = Arc::clone(self);
            // What cannot be looked up now, whoever claims the request looks up again.
            spawn(async move { drop(manager.look(&slot).await) });
        }
    }
}

async fn follow(manager: Weak<Inner>, mut changes: ChangeStream) {
    let deaf = Deaf(manager);
    while let Some(change) = changes.next().await {
        match deaf.0.upgrade() {
            Some(manager) => manager.apply(change),
            None => return,
        }
    }
    if let Some(manager) = deaf.0.upgrade() {
        *manager.feed.0.lock() = Listening::Never;
    }
}

/// From its end on nobody listens any more, whether the feed has ended or the runtime: requests of
/// users in memory, who never come by [`Inner::listen`], are to notice as well.
struct Deaf(Weak<Inner>);

impl Drop for Deaf {
    fn drop(&mut self) {
        if let Some(manager) = self.0.upgrade() {
            manager.changes_missed();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Listening::Task(task) = self.0.get_mut() {
            task.abort();
        }
    }
}
