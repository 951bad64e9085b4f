//! Listening to the store's change feed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::Inner;
use crate::store::{Change, ChangeStream};

/// The task that listens. It ends with the manager.
#[derive(Default)]
pub(super) struct Feed(Mutex<Listening>);

#[derive(Default)]
enum Listening {
    #[default]
    NotYet,
    /// The store has no feed.
    Never,
    /// The flag tells the end of the feed from the end of the runtime on which the task ran.
    Task { task: JoinHandle<()>, feed_ended: Arc<AtomicBool> },
}

impl Inner {
    /// Sees to it that the change feed is listened to: from the first use on, and again if the
    /// runtime that did so has gone.
    pub(super) fn listen(self: &Arc<Self>) {
        let mut listening = self.feed.0.lock();
        match &*listening {
            Listening::NotYet => {}
            Listening::Never => return,
            Listening::Task { task, feed_ended } => {
                if !task.is_finished() || feed_ended.load(Ordering::Acquire) {
                    return;
                }
                self.changes_missed();
            }
        }
        let changes = self.store.changes();
        *listening = if changes.is_none() {
            Listening::Never
        } else {
            let feed_ended = Arc::new(AtomicBool::new(false));
            let task = follow(Arc::downgrade(self), changes, Arc::clone(&feed_ended));
            Listening::Task { task: tokio::spawn(task), feed_ended }
        };
    }

    fn changes_missed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    fn apply(&self, change: Change) {
        match change {
            Change::Saved { user, id } => {
                if let Some(slot) = self.table.get(&user) {
                    slot.lock().saved_somewhere(id);
                }
            }
            Change::Removed { user, id } => {
                if let Some(slot) = self.table.get(&user) {
                    slot.lock().removed_somewhere(id);
                }
            }
            Change::Lagged => self.changes_missed(),
        }
    }
}

async fn follow(manager: Weak<Inner>, mut changes: ChangeStream, feed_ended: Arc<AtomicBool>) {
    while let Some(change) = changes.next().await {
        match manager.upgrade() {
            Some(manager) => manager.apply(change),
            None => return,
        }
    }
    feed_ended.store(true, Ordering::Release);
    if let Some(manager) = manager.upgrade() {
        manager.changes_missed();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Listening::Task { task, .. } = self.0.get_mut() {
            task.abort();
        }
    }
}
