//! A login that is saved in several attempts, while more may happen to the user.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::breaker::is_outage;
use super::load::no_answer;
use super::slot::SlotRef;
use super::{Inner, SessionManager};
use crate::error::Error;
use crate::session::Session;
use crate::shown::Chain;
use crate::store::StoreError;
use crate::sync::spawn;

/// A session that is on its way into the store; from [`SessionManager::arrival`].
///
/// For who goes on trying while the store is away: [`insert`](SessionManager::insert) puts a session
/// in the place of whatever the user has, which by then may be a newer one, or none because she was
/// revoked. As long as this is held, the manager notes whether the user is revoked through it.
///
/// ```
/// use std::time::Duration;
/// use moojo_session::{Arrived, Error, Session, SessionManager};
///
/// async fn save(sessions: &SessionManager, session: Session) -> Result<Arrived, Error> {
///     let arrival = sessions.arrival(session);
///     let mut saved = arrival.save().await;
///     while let Err(Error::Store(_)) = saved {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         saved = arrival.save_again().await;
///     }
///     saved
/// }
/// ```
pub struct Arrival {
    manager: Arc<Inner>,
    slot: SlotRef,
    session: Session,
    /// How many revocations of the user had been told when this began.
    revocations: u32,
}

/// What became of a session that was to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrived {
    /// It is the user's.
    Saved,
    /// The user has this one by now, which was issued later. It stays.
    Overtaken(Session),
    /// The user was revoked through this manager meanwhile, and stays so.
    Revoked,
}

impl SessionManager {
    /// Begins to take a session in that may take several attempts to save. Nothing is saved yet.
    /// It counts against [`max_users`](crate::SessionManagerBuilder::max_users) as a
    /// [handle](Self::handle) does.
    pub fn arrival(&self, session: Session) -> Arrival {
        let manager = Arc::clone(&self.0);
        let slot = manager.table.pin_always(session.user(), manager.now().seconds());
        let revocations = slot.lock().begin_arrival();
        Arrival { manager, slot, session, revocations }
    }
}

impl Arrival {
    /// The session that is to be saved.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Saves the session as [`SessionManager::insert`] does, in place of whatever the user had, unless
    /// she was revoked. One that is revoked while it is being saved is taken out again.
    ///
    /// # Errors
    /// As there, also if what was revoked could not be taken out. Dropping the future while the
    /// store saves it does not undo what that has taken. Either way a revocation may have been undone,
    /// until this is called again.
    pub async fn save(&self) -> Result<Arrived, Error> {
        let Self { manager, session, .. } = self;
        if self.is_revoked() {
            return self.take_back().await;
        }
        let saved = manager.insert(session.clone()).await;
        if self.is_revoked() {
            return self.take_back().await;
        }
        saved?;
        manager.clear_lease(session.user());
        Ok(Arrived::Saved)
    }

    /// As [`save`](Self::save), but looks first whether the user has a session by now that was issued
    /// later. One that comes into the store just between the two is not seen, and is replaced.
    ///
    /// # Errors
    /// As there, and [`Error::Store`] if the store cannot be asked: then nothing is saved.
    pub async fn save_again(&self) -> Result<Arrived, Error> {
        match self.later().await {
            Ok(Some(later)) => Ok(Arrived::Overtaken(later)),
            Err(error) if !self.is_revoked() => Err(error.into()),
            _ => self.save().await,
        }
    }

    fn is_revoked(&self) -> bool {
        self.slot.lock().revocations() != self.revocations
    }

    /// The store may have taken it before the revocation or after. A task of its own: to save it has
    /// answered the request for a login, and with that perhaps ended who waits here (rule 10).
    async fn take_back(&self) -> Result<Arrived, Error> {
        let (manager, session) = (Arc::clone(&self.manager), self.session.clone());
        let (answer, answered) = oneshot::channel();
        spawn(async move {
            let taken = manager.take_back(&session).await;
            if let Err(error) = &taken {
                let (user, error) = (session.user(), Chain(error));
                tracing::warn!(%user, %error, "a login may have been saved after a revocation");
            }
            // An error says that nobody waits any more.
            let _ = answer.send(taken);
        });
        answered.await.map_err(|_| no_answer())??;
        Ok(Arrived::Revoked)
    }

    /// The session that is in the store by now, if it was issued later. The breaker is not asked: this
    /// is part of a change.
    async fn later(&self) -> Result<Option<Session>, StoreError> {
        let Self { manager, slot, session, .. } = self;
        let there = match manager.load_now(session.user()).await {
            Ok(Some(there)) => there,
            Err(error) if is_outage(&error) => return Err(error),
            // What cannot be read is nobody's login.
            Ok(None) | Err(_) => return Ok(None),
        };
        let mut locked = slot.lock();
        if there.issued_at() <= session.issued_at() || !locked.is_good(&there, manager.now()) {
            return Ok(None);
        }
        // The feed may be late, or there is none.
        let is_news = locked.saved_somewhere(there.id());
        drop(locked);
        if is_news {
            manager.look_for(there.user().clone());
        }
        Ok(Some(there))
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.slot.lock().end_arrival();
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("session", &self.session).finish_non_exhaustive()
    }
}
