//! Listening to the store's change feed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;

use super::Inner;
use super::breaker::is_outage;
use crate::clock::Sleep;
use crate::error::Error;
use crate::store::{Change, ChangeStream};
use crate::sync::{JoinHandle, Mutex, spawn};
use crate::user::UserId;

/// The tasks that follow the store's changes. They end with the manager.
#[derive(Default)]
pub(super) struct Feed {
    listening: Mutex<Listening>,
    /// Looks up who had declined when changes were missed.
    catching_up: Mutex<Option<JoinHandle<()>>>,
    /// Whether all changes up to now have been told or are on their way.
    hears: AtomicBool,
    is_late: AtomicBool,
}

impl Feed {
    /// Whether all that has changed has been told, but for what is on its way.
    pub(super) fn hears_at_once(&self) -> bool {
        self.hears.load(Ordering::Acquire) && !self.is_late.load(Ordering::Relaxed)
    }
}

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
        let mut listening = self.feed.listening.lock();
        match &*listening {
            Listening::Never => return,
            Listening::Task(task) if !task.is_finished() => return,
            Listening::NotYet | Listening::Task(_) => {}
        }
        let changes = self.store.changes();
        self.feed.is_late.store(changes.is_late(), Ordering::Relaxed);
        *listening = if changes.is_none() {
            Listening::Never
        } else {
            // Deaf is made here: the task may be dropped before it has begun.
            Listening::Task(spawn(follow(Deaf(Arc::downgrade(self)), changes)))
        };
    }

    fn until_stale(&self) -> Sleep {
        self.clock.sleep(self.max_staleness)
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
                let mut slot = slot.as_ref().map(|slot| slot.lock());
                let is_news = slot.as_mut().is_none_or(|slot| slot.saved_somewhere(id));
                self.reschedule(&user, Some(id), slot.as_mut());
                drop(slot);
                if is_news {
                    self.look_for(user);
                }
            }
            Change::Removed { user } => {
                let slot = self.table.get(&user);
                let mut slot = slot.as_ref().map(|slot| slot.lock());
                if let Some(slot) = &mut slot {
                    slot.doubt();
                }
                self.reschedule(&user, None, slot.as_mut());
            }
            Change::Lagged => {
                // It hears again, so the store may be there again, too.
                self.breaker.try_now(self.moment());
                self.queue.look_again();
                self.changes_missed();
                self.look_for_declined();
            }
            Change::Disconnected => self.changes_missed(),
        }
    }

    /// Has a user who is asked to log in looked up, who seems to have done so in another process:
    /// what is found ends the request.
    pub(super) fn look_for(self: &Arc<Self>, user: UserId) {
        if !self.queue.has(&user) {
            return;
        }
        let manager = Arc::downgrade(self);
        spawn(async move {
            let mut in_turn = false;
            while let Some(pause) = look_once(&manager, &user, in_turn).await {
                pause.await;
                in_turn = true;
            }
        });
    }

    /// Looks up who does not want to be asked, and may have logged in unheard: what was said before
    /// does not count any more. One after the other: no call waits for it.
    fn look_for_declined(self: &Arc<Self>) {
        let mut users = VecDeque::from(self.queue.declined());
        if users.is_empty() {
            return;
        }
        let manager = Arc::downgrade(self);
        let task = spawn(async move {
            while let Some(user) = users.pop_front() {
                if let Some(pause) = look_if_there(&manager, &user).await {
                    pause.await;
                    // After the others: it may be that this one's part of the store is away.
                    users.push_back(user);
                }
            }
        });
        if let Some(earlier) = self.feed.catching_up.lock().replace(task) {
            earlier.abort();
        }
    }
}

/// As [`look_once`], if the store has a session of the user: nothing is renewed for whom nobody wants.
async fn look_if_there(manager: &Weak<Inner>, user: &UserId) -> Option<Sleep> {
    let inner = manager.upgrade().filter(|manager| manager.queue.has(user))?;
    match inner.load(user).await {
        Ok(Some(_)) => look_once(manager, user, true).await,
        Err(error) if is_outage(&error) => Some(inner.after_a_failure()),
        _ => None,
    }
}

/// Looks the user up. Gives a pause if that failed and has to be done again: whoever is at work on
/// the request does not look by itself.
async fn look_once(manager: &Weak<Inner>, user: &UserId, in_turn: bool) -> Option<Sleep> {
    let manager = manager.upgrade().filter(|manager| manager.queue.has(user))?;
    let slot = manager.table.pin(user, manager.now().seconds()).ok()?;
    match manager.look(&slot, in_turn).await {
        Err(Error::Store(error)) if is_outage(&error) => Some(manager.after_a_failure()),
        _ => None,
    }
}

async fn follow(deaf: Deaf, mut changes: ChangeStream) {
    // Set while the feed hears nothing: when what is known is next in doubt.
    let mut stale: Option<Sleep> = None;
    loop {
        match deaf.next(&mut changes, stale.as_mut()).await {
            Next::Change(change) => {
                let Some(manager) = deaf.0.upgrade() else { return };
                match change {
                    Change::Disconnected => stale = Some(manager.until_stale()),
                    Change::Lagged => stale = None,
                    _ => {}
                }
                manager.feed.hears.fetch_and(stale.is_none(), Ordering::AcqRel);
                manager.apply(change);
            }
            Next::Stale => {
                let Some(manager) = deaf.0.upgrade() else { return };
                stale = Some(manager.until_stale());
                manager.changes_missed();
            }
            Next::End => break,
        }
    }
    if let Some(manager) = deaf.0.upgrade() {
        *manager.feed.listening.lock() = Listening::Never;
    }
}

enum Next {
    Change(Change),
    /// It has heard nothing for as long as that may be.
    Stale,
    End,
}

/// From its end on nobody listens any more, whether the feed has ended or the runtime: requests of
/// users in memory, who never come by [`Inner::listen`], are to notice as well.
struct Deaf(Weak<Inner>);

impl Deaf {
    /// What comes next. Whoever waits for a change has heard all that were told before.
    async fn next(&self, changes: &mut ChangeStream, mut stale: Option<&mut Sleep>) -> Next {
        let mut next = pin!(changes.next());
        poll_fn(|cx| {
            if let Poll::Ready(next) = next.as_mut().poll(cx) {
                return Poll::Ready(next.map_or(Next::End, Next::Change));
            }
            match &mut stale {
                Some(stale) => stale.as_mut().poll(cx).map(|()| Next::Stale),
                None => {
                    if let Some(manager) = self.0.upgrade() {
                        manager.feed.hears.store(true, Ordering::Release);
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        if let Some(manager) = self.0.upgrade() {
            manager.feed.hears.store(false, Ordering::Release);
            manager.changes_missed();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Listening::Task(task) = self.listening.get_mut() {
            task.abort();
        }
        if let Some(task) = self.catching_up.get_mut() {
            task.abort();
        }
    }
}
